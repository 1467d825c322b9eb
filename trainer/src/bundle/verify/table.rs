//! The checks that `verify` ran, as a table.

use crate::progress::say;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// In order; the last one may have failed.
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    /// No key or no ONNX Runtime was given.
    Skipped,
    Failed,
}

impl Verification {
    /// Fails with the name and detail of the check that failed.
    pub fn result(&self) -> Result<()> {
        match self.checks.iter().find(|check| check.outcome == Outcome::Failed) {
            // The name of a check is often that of its file, with which the detail begins.
            Some(check) if check.detail.starts_with(&format!("{}: ", check.name)) => {
                bail!("{}", check.detail)
            }
            Some(check) => bail!("{}: {}", check.name, check.detail),
            None => Ok(()),
        }
    }

    pub fn print(&self) {
        for check in &self.checks {
            let outcome = match check.outcome {
                Outcome::Passed => "ok",
                Outcome::Skipped => "skipped",
                Outcome::Failed => "FAILED",
            };
            say(format!("{outcome:<8} {:<14} {}", check.name, check.detail));
        }
    }

    pub(super) fn passed(&mut self, name: &str, detail: impl Into<String>) {
        self.add(name, Outcome::Passed, detail.into());
    }

    pub(super) fn skipped(&mut self, name: &str, why: &str) {
        self.add(name, Outcome::Skipped, why.to_owned());
    }

    fn add(&mut self, name: &str, outcome: Outcome, detail: String) {
        self.checks.push(Check { name: name.to_owned(), outcome, detail });
    }

    /// Records a check; none if it failed.
    pub(super) fn check(&mut self, name: &str, detail: Result<String>) -> Option<()> {
        self.check_value(name, detail.map(|detail| ((), detail)))
    }

    /// As [`check`](Self::check), for a check that yields a value besides its detail.
    pub(super) fn check_value<T>(&mut self, name: &str, found: Result<(T, String)>) -> Option<T> {
        match found {
            Ok((value, detail)) => {
                self.passed(name, detail);
                Some(value)
            }
            Err(error) => {
                self.add(name, Outcome::Failed, format!("{error:#}"));
                None
            }
        }
    }
}
