//! `trainer.calibration`: operating point, review band, out-of-distribution score.

use anyhow::{Result, ensure};
use cxr::embedding::OodScore;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub target_sensitivity: f64,
    pub review_sensitivity: f64,
    pub review_specificity: f64,
    pub ood_percentile: usize,
    pub components: usize,
    pub ood_score: OodScore,
    pub ood_images: Option<PathBuf>,
    pub conformal_alpha: Vec<f64>,
    pub cross_validation_parts: usize,
    pub recalibration_min_per_class: usize,
    pub min_per_class: usize,
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
        for alpha in &self.conformal_alpha {
            ensure!(
                0.0 < *alpha && *alpha < 1.0,
                "trainer.calibration.conformal_alpha: {alpha} is not in (0, 1)"
            );
        }
        ensure!(self.min_per_class > 0, "trainer.calibration.min_per_class: at least 1");
        let parts = self.cross_validation_parts;
        ensure!(parts >= 2, "trainer.calibration.cross_validation_parts: {parts} is fewer than 2");
        Ok(())
    }
}
