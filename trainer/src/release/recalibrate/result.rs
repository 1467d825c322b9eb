//! `recalibration.json`: where the calibration of a bundle comes from.

use crate::measure::calibrate::comparison::CalibrationFigures;
use cxr::AffineCalibration;
use cxr::bundle::Measured;
use cxr::decide::OperatingPoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file in the new bundle that says where its calibration comes from.
pub const FILE: &str = "recalibration.json";

/// `recalibration.json`, a file of the bundle that was recalibrated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recalibration {
    /// Version of the bundle it was made from.
    pub parent_version: String,
    /// SHA-256 of that bundle's manifest.
    pub parent_digest: String,
    /// Digests of earlier bundles with the same graph, the youngest first.
    pub ancestors: Vec<String>,
    /// SHA-256 of the labels' file.
    pub labels_sha256: String,
    /// Labelled images by class: negative, positive.
    pub n: [usize; 2],
    /// Patients; as many as images where the labels do not say.
    pub n_patients: usize,
    /// Rows that were passed over, by reason.
    pub passed_over: BTreeMap<String, usize>,
    /// Images by who or what found their label, where the log says.
    #[serde(default)]
    pub sources: BTreeMap<String, usize>,
    /// Images that were labelled otherwise before: the latest label counts.
    #[serde(default)]
    pub n_relabelled: usize,
    /// Probability before.
    pub calibration_before: AffineCalibration,
    /// Probability after.
    pub calibration_after: AffineCalibration,
    /// The old probabilities of these images.
    pub before: CalibrationFigures,
    /// The new ones, each by a fit on other patients.
    pub after: CalibrationFigures,
    /// Log loss before minus after over the same resamples: positive is better.
    pub improvement: Measured,
    /// The new operating point.
    pub chosen: OperatingPoint,
    /// Whether it was forced.
    pub forced: bool,
}

/// As in "12 NORMAL and 34 PNEUMONIA".
pub(super) fn by_class([negative, positive]: [usize; 2], labels: &[String; 2]) -> String {
    format!("{negative} {} and {positive} {}", labels[0], labels[1])
}
