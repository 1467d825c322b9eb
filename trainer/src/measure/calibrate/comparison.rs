//! Calibration methods compared where they were not fitted: by cross-validation over the patients of the calibrate fold, and
//! on select after a fit on the whole calibrate fold.

use crate::measure::sample::{CALIBRATION_BINS, Sample};
use anyhow::{Context, Result};
use cxr::analysis::calibration::{Method, cross_validated, grouped_parts};
use cxr::analysis::scoring::reliability::{bins_equal_width, brier, ece, log_loss};
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};

/// How far probabilities are from what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationFigures {
    /// Expected calibration error, equal-width bins.
    pub ece: Measured,
    /// Mean squared error.
    pub brier: Measured,
    /// Mean negative log likelihood.
    pub log_loss: Measured,
}

/// One method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodJudgement {
    /// Which one.
    pub method: Method,
    /// On the calibrate fold, each image by a fit on other patients; none where the patients outside a part allow no fit.
    pub cross_validated: Option<CalibrationFigures>,
    /// On the select fold, by a fit on the whole calibrate fold.
    pub select: CalibrationFigures,
}

/// Figures of probabilities.
///
/// # Errors
/// When an interval is undefined.
pub fn figures(sample: &Sample) -> Result<CalibrationFigures> {
    let measured = |figure: &dyn Fn(&[f64], &[bool]) -> f64| {
        let of = |p: &[f64], y: &[bool]| Some(figure(p, y));
        sample.measured(sample.len(), &of).context("calibration figures need two patients")
    };
    Ok(CalibrationFigures {
        ece: measured(&|p, y| ece(&bins_equal_width(p, y, CALIBRATION_BINS)))?,
        brier: measured(&brier)?,
        log_loss: measured(&log_loss)?,
    })
}

/// Judges every method; the samples hold logits instead of probabilities.
///
/// # Errors
/// When the calibrate fold allows no fit.
pub fn compare(
    calibrate: &Sample,
    select: &Sample,
    n_parts: usize,
    seed: u64,
) -> Result<Vec<MethodJudgement>> {
    let parts = grouped_parts(calibrate.patients, calibrate.positive, n_parts, seed);
    let judge = |method: Method| -> Result<MethodJudgement> {
        let held_out = cross_validated(method, calibrate.probabilities, calibrate.positive, &parts);
        let held_out = held_out.map(|p| figures(&Sample { probabilities: &p, ..*calibrate }));
        let fitted = method.fit(calibrate.probabilities, calibrate.positive)?;
        let on_select: Vec<f64> = select.probabilities.iter().map(|logit| fitted.apply(*logit)).collect();
        Ok(MethodJudgement {
            method,
            cross_validated: held_out.ok().transpose()?,
            select: figures(&Sample { probabilities: &on_select, ..*select })?,
        })
    };
    Method::ALL.into_iter().map(judge).collect()
}
