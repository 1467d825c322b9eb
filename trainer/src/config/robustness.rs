//! `trainer.robustness`: how much is corrupted.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `robustness`: how much is corrupted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robustness {
    /// Severities that are measured, 1 to 5.
    pub severities: Vec<usize>,
}

impl Robustness {
    pub(super) fn check(&self) -> Result<()> {
        let fits = !self.severities.is_empty() && self.severities.iter().all(|s| (1..=5).contains(s));
        ensure!(fits, "trainer.robustness.severities: from 1 to 5, at least one");
        Ok(())
    }
}
