//! How good scores are, measured against known labels: discrimination, decisions, calibration, and intervals
//! around them. Fitting a calibration or choosing a policy belongs in `calibrate` and `decide`.
//!
//! Labels are `true` for the positive class, and a score is called positive when `score >= threshold`.
//!
//! Nothing here panics on data. Where a figure is undefined (no images, one class only) or its input cannot be
//! judged (scores and labels differ in number, a score is not finite, a probability is outside 0 to 1), the answer
//! is the undefined value of its type and never a plausible number: `None`, NaN for a bare `f64`, no bins, or a
//! confusion matrix without a single count, whose every ratio is `None`.

pub mod bootstrap;
pub mod confusion;
pub mod delong;
pub mod log_loss;
pub mod precision_recall;
pub mod proportion;
pub mod reliability;
pub mod roc;

/// Scores and labels that pair up one to one, every score finite.
fn judgeable(scores: &[f64], positive: &[bool]) -> bool {
    scores.len() == positive.len() && scores.iter().all(|score| score.is_finite())
}
