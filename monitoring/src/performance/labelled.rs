//! Performance with labels: figures of a cohort, weighted by the inverse inclusion probability.

use super::cohort::Cohort;
use crate::observation::LabelledObservation;
use crate::snapshot::{CalibrationReport, DetectorReport, RealisedReport};
use std::collections::BTreeMap;

/// Sensitivity, specificity, accuracy and AUC. `limits` are the contractual limits, by the figure's name.
pub fn realised(
    cohort: &Cohort,
    labels: &[LabelledObservation],
    limits: &BTreeMap<String, f64>,
    detectors: Vec<DetectorReport>,
) -> RealisedReport {
    todo!()
}

/// Expected calibration error, Brier score and bias.
pub fn calibration(
    cohort: &Cohort,
    labels: &[LabelledObservation],
    detector: Option<DetectorReport>,
) -> CalibrationReport {
    todo!()
}
