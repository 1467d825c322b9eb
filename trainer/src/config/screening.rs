//! `trainer.audit`: the search for duplicates and label noise. The weights do not depend on it.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screening {
    pub max_hash_distance: u32,
    pub min_detail_correlation: f64,
    pub label_folds: usize,
    pub label_ridge: f64,
}

impl Screening {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.max_hash_distance <= 64, "trainer.audit.max_hash_distance: a hash has 64 bits");
        let correlation = self.min_detail_correlation;
        ensure!(
            0.0 < correlation && correlation <= 1.0,
            "trainer.audit.min_detail_correlation: {correlation} is not in (0, 1]"
        );
        ensure!(self.label_folds >= 2, "trainer.audit.label_folds: at least 2");
        ensure!(self.label_ridge > 0.0, "trainer.audit.label_ridge: must be positive");
        Ok(())
    }
}
