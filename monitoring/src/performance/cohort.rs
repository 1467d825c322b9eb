//! A cohort: the images of a span of time, each with the first label that was known after a stated delay.

use crate::observation::LabelledObservation;
use crate::snapshot::LabelReport;
use time::{Duration, OffsetDateTime};

/// The images received in `[from, to)`, with labels recorded at most `known_within` after the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cohort {
    pub from: OffsetDateTime,
    pub to: OffsetDateTime,
    pub known_within: Duration,
    /// Images with a score in the cohort, labelled or not.
    pub n_images: u64,
}

/// A drawn image of the review sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    pub received_at: OffsetDateTime,
    pub is_read: bool,
}

/// Counts of labels in a cohort.
pub fn label_report(cohort: &Cohort, labels: &[LabelledObservation], drawn: &[Drawn]) -> LabelReport {
    todo!()
}
