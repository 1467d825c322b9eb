//! The table of checks that `verify` prints.

use crate::progress::say;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// The table of checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// In the order in which they were made; the first that fails is the last.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Could not be made, for want of a key or of ONNX Runtime.
    Skipped,
    /// Not as it should be.
    Failed,
}

impl Verification {
    /// The check that failed.
    ///
    /// # Errors
    /// Names it with its reason.
    pub fn result(&self) -> Result<()> {
        match self.checks.iter().find(|check| check.outcome == Outcome::Failed) {
            // Most details begin with the name of the file that was checked, which is often the name of the check.
            Some(check) if check.detail.starts_with(&format!("{}: ", check.name)) => {
                bail!("{}", check.detail)
            }
            Some(check) => bail!("{}: {}", check.name, check.detail),
            None => Ok(()),
        }
    }

    /// Prints the table.
    pub fn report(&self) {
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

    pub(super) fn add(&mut self, name: &str, outcome: Outcome, detail: String) {
        self.checks.push(Check { name: name.to_owned(), outcome, detail });
    }

    /// Makes a check; none when it fails, after which no other is made.
    pub(super) fn check(&mut self, name: &str, found: Result<String>) -> Option<()> {
        match found {
            Ok(detail) => {
                self.passed(name, detail);
                Some(())
            }
            Err(error) => {
                self.add(name, Outcome::Failed, format!("{error:#}"));
                None
            }
        }
    }
}
