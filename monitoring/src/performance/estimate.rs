//! Performance without labels: what confusion matrix the probabilities promise, where that promise holds.

use super::Scored;
use super::guard::Guard;
use crate::quantity::Group;
use crate::snapshot::EstimateReport;

/// An image whose class is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub scored: Scored,
    pub positive: bool,
    /// Inverse of the probability with which the label was sought.
    pub weight: f64,
}

/// What the estimate rests on.
#[derive(Debug, Clone)]
pub struct Basis<'a> {
    /// The bundle's labelled reference sample: how well the probabilities are calibrated. May be empty.
    pub bundle: &'a [Known],
    /// Labels of the site.
    pub local: &'a [Known],
    /// Groups of `score`, `ood` and `embedding` whose drift is in alarm.
    pub in_alarm: &'a [Group],
    /// Test of the share out of distribution, new; the estimate runs it over its images.
    pub guard: Guard,
}

/// Estimates sensitivity, specificity and accuracy on `images`, in the order of their leaves.
pub fn estimate(images: &[Scored], basis: &Basis<'_>) -> EstimateReport {
    todo!()
}
