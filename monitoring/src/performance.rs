//! Performance: estimated without labels, realised with them, and the sample that makes selective labels
//! usable.

mod auc;
mod cbpe;
pub mod cohort;
pub mod estimate;
pub mod gates;
pub mod guard;
mod interval;
pub mod labelled;
mod logistic;
mod recalibration;
mod reweight;
pub mod sample;
mod selective;

use crate::observation::{Observation, Score};

/// A scored image, as the estimates need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Calibrated probability of the positive class.
    pub probability: f64,
    pub threshold: f64,
    /// Rank it, never average it: it may be `f64::MAX`.
    pub ood_score: f64,
    pub coordinates: Vec<f32>,
    /// Images of one patient-day are not independent: intervals count patient-days.
    pub patient_day: u64,
}

impl Scored {
    /// `None` for a score that is no probability, which no bundle gives.
    pub fn new(score: &Score, patient_day: u64) -> Option<Self> {
        let is_valid = (0.0..=1.0).contains(&score.probability) && !score.threshold.is_nan();
        is_valid.then(|| Self {
            probability: score.probability,
            threshold: score.threshold,
            ood_score: score.ood_score,
            coordinates: score.coordinates.clone(),
            patient_day,
        })
    }

    /// `None` for an image without a score.
    pub fn of(observation: &Observation) -> Option<Self> {
        Self::new(observation.score.as_ref()?, observation.patient_day)
    }

    /// Whether the image is called positive.
    pub fn is_flagged(&self) -> bool {
        self.probability >= self.threshold
    }
}

#[cfg(test)]
mod tests;
