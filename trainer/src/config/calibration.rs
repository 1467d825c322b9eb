//! `trainer.calibration`: operating point, review band, distribution.

use anyhow::{Result, ensure};
use cxr::embedding::OodScore;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// The distance from the known embeddings.
    pub ood_score: OodScore,
    /// Images that are no chest radiograph, which the score should find.
    pub ood_images: Option<PathBuf>,
    /// Error rates of the conformal sets.
    pub conformal_alpha: Vec<f64>,
    /// Parts of the cross-validation in which methods are compared.
    pub cross_validation_parts: usize,
    /// Labelled images of each class below which `recalibrate` refuses.
    pub recalibration_min_per_class: usize,
    /// Images of each class on the calibrate fold below which `calibrate` refuses.
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
