//! `trainer.robustness`: the corruption suite.

use anyhow::{Result, ensure};
use cxr::analysis::corrupt::MAX_SEVERITY;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robustness {
    pub severities: Vec<u8>,
}

impl Robustness {
    pub(super) fn check(&self) -> Result<()> {
        let severities = &self.severities;
        ensure!(
            !severities.is_empty()
                && severities.iter().all(|severity| (1..=MAX_SEVERITY).contains(severity))
                && severities.is_sorted_by(|a, b| a < b),
            "trainer.robustness.severities: {severities:?} must be 1 to {MAX_SEVERITY}, ascending"
        );
        Ok(())
    }
}
