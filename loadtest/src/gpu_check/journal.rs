//! The steps: each has a time limit, and a failed step does not end the check.

use crate::terminal::print;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, Instant};

/// A step with less time than this is not started.
const SHORTEST: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Failed,
    /// Not possible on this host or in the remaining time.
    NotRun,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotRun => "not run",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub outcome: Outcome,
    pub seconds: f64,
    /// The result, or the reason for its absence.
    pub detail: String,
}

/// The reason why a step cannot run, which is not a failure of the host.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotRun(pub(super) String);

/// The steps so far and the time budget.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) steps: Vec<Step>,
    pub(super) started: Instant,
    budget: Duration,
}

impl Journal {
    pub(super) fn new(budget_seconds: u64) -> Self {
        Self { steps: Vec::new(), started: Instant::now(), budget: Duration::from_secs(budget_seconds) }
    }

    /// Runs a step, which must keep the limit that it gets. Its value as text becomes the result.
    pub(super) fn step<T: fmt::Display>(
        &mut self,
        name: &str,
        limit_seconds: u64,
        work: impl FnOnce(Duration) -> Result<T>,
    ) -> Option<T> {
        let left = self.budget.saturating_sub(self.started.elapsed());
        if left < SHORTEST {
            self.not_run(name, "the time budget is used up");
            return None;
        }
        let started = Instant::now();
        let result = work(left.min(Duration::from_secs(limit_seconds)));
        let (outcome, detail, result) = match result {
            Ok(result) => (Outcome::Passed, result.to_string(), Some(result)),
            Err(error) if error.is::<NotRun>() => (Outcome::NotRun, format!("{error:#}"), None),
            Err(error) => (Outcome::Failed, format!("{error:#}"), None),
        };
        let (name, seconds) = (name.to_owned(), started.elapsed().as_secs_f64());
        self.record(Step { name, outcome, seconds, detail });
        result
    }

    pub(super) fn not_run(&mut self, name: &str, why: &str) {
        let (name, detail) = (name.to_owned(), why.to_owned());
        self.record(Step { name, outcome: Outcome::NotRun, seconds: 0.0, detail });
    }

    pub(super) fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.outcome != Outcome::Failed)
    }

    fn record(&mut self, step: Step) {
        let Step { name, outcome, seconds, detail } = &step;
        print(format_args!("{name}: {outcome}, {seconds:.1} s: {detail}"));
        self.steps.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_recorded_and_the_next_one_runs() {
        let mut journal = Journal::new(600);
        assert_eq!(journal.step("one", 10, |_| Ok("fine")), Some("fine"));
        assert_eq!(journal.step::<&str>("two", 10, |_| Err(NotRun("no tool".into()).into())), None);
        assert!(journal.passed());
        assert_eq!(journal.step::<&str>("three", 10, |_| anyhow::bail!("broken")), None);
        assert_eq!(journal.step("four", 700, |limit| Ok(limit.as_secs() <= 600)), Some(true));
        assert!(!journal.passed());
        let outcomes: Vec<Outcome> = journal.steps.iter().map(|step| step.outcome).collect();
        assert_eq!(outcomes, [Outcome::Passed, Outcome::NotRun, Outcome::Failed, Outcome::Passed]);
        assert_eq!(journal.steps[2].detail, "broken");
    }

    #[test]
    fn a_step_without_time_is_not_started() {
        let mut journal = Journal::new(1);
        assert_eq!(journal.step::<&str>("late", 10, |_| panic!("begun")), None);
        assert_eq!(journal.steps[0].outcome, Outcome::NotRun);
    }
}
