//! A cohort: the images of a span of time, each with the first label that was known after a stated delay.

use super::Scored;
use super::estimate::Known;
use super::gates;
use crate::observation::LabelledObservation;
use crate::snapshot::LabelReport;
use std::collections::BTreeMap;
use time::{Duration, OffsetDateTime};

/// The images received in `[from, to)`. A label counts if it was recorded at most `known_within` after its
/// image, so that months are compared after the same wait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cohort {
    pub from: OffsetDateTime,
    pub to: OffsetDateTime,
    pub known_within: Duration,
    /// Images with a score in the cohort, labelled or not.
    pub n_images: u64,
}

/// An image of the cohort with its labels.
#[derive(Debug, Clone)]
pub struct Labelled<'a> {
    /// The first label; later ones of the same image do not count again.
    pub first: &'a LabelledObservation,
    /// Class by the latest label, whenever it was recorded.
    pub latest: bool,
}

/// A drawn image of the review sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    pub received_at: OffsetDateTime,
    pub is_read: bool,
}

impl Cohort {
    /// Each image once, by the position of its first label. Labels come in the order in which they were read.
    pub fn labelled<'a>(&self, labels: &'a [LabelledObservation]) -> Vec<Labelled<'a>> {
        let mut images: BTreeMap<uuid::Uuid, Labelled<'a>> = BTreeMap::new();
        let is_in = |label: &&LabelledObservation| (self.from..self.to).contains(&label.received_at);
        for label in labels.iter().filter(is_in) {
            images
                .entry(label.prediction_id)
                .and_modify(|image| image.latest = label.positive)
                .or_insert(Labelled { first: label, latest: label.positive });
        }
        let mut known: Vec<Labelled<'a>> =
            images.into_values().filter(|image| delay(image.first) <= self.known_within).collect();
        known.sort_by_key(|image| image.first.position);
        known
    }

    /// Whether practically every image has a label, so that none was selected.
    pub fn is_complete(&self, n_labelled: usize) -> bool {
        n_labelled as f64 >= gates::COMPLETE * self.n_images as f64
    }

    /// The labels that were sought by design, with the inverse of their inclusion probability.
    pub fn known(&self, labels: &[LabelledObservation]) -> Vec<Known> {
        weighted(self, &self.labelled(labels), Truth::First)
    }
}

/// Time from the image to its label; none if a clock went back between them.
fn delay(label: &LabelledObservation) -> Duration {
    (label.recorded_at - label.received_at).max(Duration::ZERO)
}

/// Which label of an image counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    First,
    Latest,
}

impl Labelled<'_> {
    pub(super) fn positive(&self, truth: Truth) -> bool {
        if truth == Truth::First { self.first.positive } else { self.latest }
    }
}

pub(super) fn weighted(cohort: &Cohort, images: &[Labelled<'_>], truth: Truth) -> Vec<Known> {
    let is_complete = cohort.is_complete(images.len());
    let known = |image: &Labelled<'_>| {
        let pi = if is_complete { 1.0 } else { image.first.inclusion_probability? };
        let scored = Scored::new(&image.first.score, image.first.patient_day)?;
        (pi > 0.0 && pi <= 1.0).then(|| Known { scored, positive: image.positive(truth), weight: 1.0 / pi })
    };
    images.iter().filter_map(known).collect()
}

/// Counts of labels in a cohort.
pub fn label_report(cohort: &Cohort, labels: &[LabelledObservation], drawn: &[Drawn]) -> LabelReport {
    let images = cohort.labelled(labels);
    let n_positive = images.iter().filter(|image| image.first.positive).count() as u64;
    let mut delays: Vec<f64> = images.iter().map(|image| delay(image.first).as_seconds_f64()).collect();
    delays.sort_by(f64::total_cmp);
    let unread = drawn.iter().filter(|image| !image.is_read);
    LabelReport {
        n_positive,
        n_negative: images.len() as u64 - n_positive,
        coverage: (images.len() as f64 / cohort.n_images.max(1) as f64).min(1.0),
        median_delay_s: delays.get(delays.len() / 2).copied(),
        n_unread: unread.clone().count() as u64,
        oldest_unread_at: unread.map(|image| image.received_at).min(),
    }
}
