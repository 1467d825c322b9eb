//! The images that a baseline is made of, as columns.

use crate::observation::{Observation, Outcome};
use crate::quantity::Quantity;
use crate::stream::Stream;
use time::{OffsetDateTime, Weekday};

/// Weekdays and weekends, each in four blocks of six hours, UTC.
pub const N_STRATA: usize = 8;

pub(crate) fn stratum(at: OffsetDateTime) -> usize {
    let is_weekend = matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday);
    4 * usize::from(is_weekend) + usize::from(at.hour() / 6)
}

/// First images of patient-days, in the order of their leaves.
#[derive(Debug, Clone)]
pub struct Sample {
    pub(crate) stream: Stream,
    /// Values by quantity and image; NaN for none. Single precision: equal values stay equal.
    pub(crate) columns: Vec<(Quantity, Vec<f32>)>,
    pub(crate) probability: Vec<f64>,
    pub(crate) is_rejected: Vec<bool>,
    pub(crate) strata: Vec<u8>,
    /// Days since 1970.
    pub(crate) days: Vec<i32>,
    /// Every image, repeats included.
    pub(crate) n_images: u64,
    pub(crate) first_leaf: u64,
    pub(crate) last_leaf: u64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
}

/// Whether a detector of the stream uses the image.
pub(crate) fn is_used(observation: &Observation) -> bool {
    !observation.is_repeat && matches!(observation.outcome, Outcome::Predicted | Outcome::Rejected(_))
}

/// Quantities that a stream's detector watches.
pub(crate) fn watched(stream: &Stream) -> impl Iterator<Item = Quantity> {
    let has_model = stream.model.is_some();
    Quantity::all().filter(move |quantity| matches!(quantity, Quantity::Input(_)) != has_model)
}

impl Sample {
    pub fn of(stream: &Stream, observations: &[Observation]) -> Self {
        let used: Vec<&Observation> = observations.iter().filter(|o| is_used(o)).collect();
        let column = |quantity: Quantity| {
            let value = |o: &&Observation| quantity.of(o).map_or(f32::NAN, |value| value as f32);
            (quantity, used.iter().map(value).collect())
        };
        let times = || observations.iter().map(|o| o.received_at.unix_timestamp());
        let leaves = || observations.iter().map(|o| o.leaf_index);
        let probability = |o: &&Observation| o.score.as_ref().map_or(f64::NAN, |score| score.probability);
        Self {
            stream: stream.clone(),
            columns: watched(stream).map(column).collect(),
            probability: used.iter().map(probability).collect(),
            is_rejected: used.iter().map(|o| matches!(o.outcome, Outcome::Rejected(_))).collect(),
            strata: used.iter().map(|o| stratum(o.received_at) as u8).collect(),
            days: used.iter().map(|o| o.received_at.unix_timestamp().div_euclid(86_400) as i32).collect(),
            n_images: observations.len() as u64,
            first_leaf: leaves().min().unwrap_or(0),
            last_leaf: leaves().max().unwrap_or(0),
            first_at: times().min().unwrap_or(0),
            last_at: times().max().unwrap_or(0),
        }
    }

    /// Number of images that detectors use.
    pub fn n_used(&self) -> usize {
        self.days.len()
    }

    /// Whole weeks between the first and the last image, from days with images.
    pub fn n_weeks(&self) -> u64 {
        let (first, last) = (self.days.iter().min(), self.days.iter().max());
        first.zip(last).map_or(0, |(first, last)| ((last - first + 1) / 7) as u64)
    }
}
