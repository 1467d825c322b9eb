//! `trainer.audit`: how `eda` and `split` screen the data for duplicates and label noise. The weights do not depend on it.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `audit`: how the data are screened.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screening {
    /// Two images are compared when their perceptual hashes differ in at most this many of 64 bits.
    pub max_hash_distance: u32,
    /// They are near duplicates when their fine details correlate at least this much.
    pub min_detail_correlation: f64,
    /// Folds of the cross-validation behind the label noise.
    pub label_folds: usize,
    /// Ridge penalty of its logistic regression.
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
