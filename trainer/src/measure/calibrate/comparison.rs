//! Comparison of calibration methods on images that they were not fitted to: by cross-validation over the
//! patients of the calibrate fold, and on the select fold.

use crate::measure::sample::Sample;
use anyhow::{Context, Result};
use cxr::analysis::calibration::{Method, cross_validated, grouped_parts};
use cxr::analysis::scoring::reliability::{brier, log_loss};
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationFigures {
    pub ece: Measured,
    pub brier: Measured,
    pub log_loss: Measured,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodEvaluation {
    pub method: Method,
    /// On the calibrate fold; `None` if a method cannot be fitted without one of the parts.
    pub cross_validated: Option<CalibrationFigures>,
    /// After a fit on the whole calibrate fold.
    pub select: CalibrationFigures,
}

pub fn figures(sample: &Sample) -> Result<CalibrationFigures> {
    let measured = |figure: &dyn Fn(&[f64], &[bool]) -> f64| {
        let defined = |p: &[f64], y: &[bool]| Some(figure(p, y));
        sample.measured(sample.n(), &defined).context("calibration figures need two patients")
    };
    Ok(CalibrationFigures {
        ece: sample.ece().context("the calibration error needs two patients and both classes")?,
        brier: measured(&brier)?,
        log_loss: measured(&log_loss)?,
    })
}

/// The samples hold logits instead of probabilities.
pub fn compare(
    calibrate: &Sample,
    select: &Sample,
    n_parts: usize,
    seed: u64,
) -> Result<Vec<MethodEvaluation>> {
    let parts = grouped_parts(calibrate.patients, calibrate.positive, n_parts, seed);
    let evaluate = |method: Method| -> Result<MethodEvaluation> {
        let held_out = cross_validated(method, calibrate.probabilities, calibrate.positive, &parts);
        let held_out = held_out.map(|p| figures(&Sample { probabilities: &p, ..*calibrate }));
        let fitted = method.fit(calibrate.probabilities, calibrate.positive)?;
        let on_select: Vec<f64> = select.probabilities.iter().map(|logit| fitted.apply(*logit)).collect();
        Ok(MethodEvaluation {
            method,
            cross_validated: held_out.ok().transpose()?,
            select: figures(&Sample { probabilities: &on_select, ..*select })?,
        })
    };
    Method::ALL.into_iter().map(evaluate).collect()
}
