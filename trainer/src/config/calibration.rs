//! `trainer.calibration`: operating point, review band, distribution.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `calibration`: operating point, review band, distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Sensitivity that the operating point must reach on the calibrate fold.
    pub target_sensitivity: f64,
    /// Sensitivity at the review band's lower end.
    pub review_sensitivity: f64,
    /// Specificity at its upper end.
    pub review_specificity: f64,
    /// Percentile of the out-of-distribution score from which an image is unlike the known ones.
    pub ood_percentile: usize,
    /// Principal components of the embeddings.
    pub components: usize,
}

impl Calibration {
    pub(super) fn check(&self) -> Result<()> {
        for (key, value) in [
            ("target_sensitivity", self.target_sensitivity),
            ("review_sensitivity", self.review_sensitivity),
            ("review_specificity", self.review_specificity),
        ] {
            ensure!(0.0 < value && value <= 1.0, "trainer.calibration.{key}: {value} is not in (0, 1]");
        }
        ensure!(self.ood_percentile <= 100, "trainer.calibration.ood_percentile: at most 100");
        ensure!(self.components > 0, "trainer.calibration.components: at least 1");
        Ok(())
    }
}
