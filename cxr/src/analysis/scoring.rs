//! Performance of scores against labels: discrimination, decisions, calibration and confidence intervals.
//! `calibrate` fits calibrations and `decide` applies policies.
//!
//! Labels are `true` for the positive class. A score is called positive if `score >= threshold`.
//!
//! Nothing here panics on data. If a figure is undefined (no images, one class only) or the input is invalid
//! (scores and labels differ in number, a score is not finite, a probability is outside 0 to 1), the result
//! is the undefined value of its type and never a plausible number: `None`, NaN for a bare `f64`, no bins, or
//! a confusion matrix with no counts, whose ratios are all `None`.

pub mod bootstrap;
pub mod calibration_error;
pub mod confusion;
pub mod delong;
pub mod log_loss;
pub mod precision_recall;
pub mod proportion;
pub mod reliability;
pub mod roc;

/// Whether scores and labels pair up one to one and every score is finite.
fn judgeable(scores: &[f64], positive: &[bool]) -> bool {
    scores.len() == positive.len() && scores.iter().all(|score| score.is_finite())
}
