//! `recalibration.json`, a file of a recalibrated bundle: where its calibration comes from.

use crate::measure::calibrate::comparison::CalibrationFigures;
use cxr::AffineCalibration;
use cxr::bundle::Measured;
use cxr::decide::OperatingPoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const FILE: &str = "recalibration.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibration {
    pub parent_version: String,
    /// SHA-256 of the manifest of the bundle that was recalibrated.
    pub parent_digest: String,
    /// Digests of earlier bundles with the same graph, latest first.
    pub ancestors: Vec<String>,
    pub labels_sha256: String,
    /// Labelled images: negative, positive.
    pub n: [usize; 2],
    /// Equal to the number of images if the log does not identify patients.
    pub n_patients: usize,
    /// Skipped rows, by reason.
    pub passed_over: BTreeMap<String, usize>,
    /// Images by source of their label, as far as it is stated.
    #[serde(default)]
    pub sources: BTreeMap<String, usize>,
    /// Images whose current label differs from an earlier one.
    #[serde(default)]
    pub n_relabelled: usize,
    pub calibration_before: AffineCalibration,
    pub calibration_after: AffineCalibration,
    /// Of the old probabilities of these images.
    pub before: CalibrationFigures,
    /// Of the new ones, cross-validated over patients.
    pub after: CalibrationFigures,
    /// Log loss before minus after, on the same resamples; positive is better.
    pub improvement: Measured,
    pub chosen: OperatingPoint,
    pub forced: bool,
}

/// Such as "12 NORMAL and 34 PNEUMONIA".
pub(super) fn by_class([negative, positive]: [usize; 2], labels: &[String; 2]) -> String {
    format!("{negative} {} and {positive} {}", labels[0], labels[1])
}
