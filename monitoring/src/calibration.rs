//! Detector of calibration: evidence in labels that the probabilities are wrong by more than a tolerated
//! factor of the odds. It needs no reference.
//!
//! Each bet is a likelihood ratio of two recalibrations: one that the bet is best for against the nearest one
//! that is tolerated. Labels may be selected by the score, because both are conditional on it.

use crate::evidence::Evidence;
use crate::misses::weight;
use crate::observation::LabelledObservation;

/// Factor of the odds that is tolerated: 1.25 is 2.2 points of probability at 0.9 and 5.6 at 0.5.
const TOLERATED: f64 = 1.25;
/// Factors of the odds that the bets are best for, each way.
const FACTORS: [f64; 3] = [2.0, 4.0, 8.0];
/// Bets on factors each way, and on odds that should be their square root or their square.
const N_BETS: usize = 2 * FACTORS.len() + 2;
/// Probabilities are clipped to this distance from 0 and 1, so that one label cannot be infinite evidence.
const LEAST: f64 = 1e-4;

/// State to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationDetector {
    evidence: Evidence,
}

impl CalibrationDetector {
    pub const NAME: &str = "calibration";

    /// `threshold`: labels between two false alarms.
    pub fn new(threshold: f64) -> Self {
        Self { evidence: Evidence::new(N_BETS, threshold) }
    }

    /// As [`crate::misses::RateDetector::observe`], for both classes.
    pub fn observe(&mut self, label: &LabelledObservation, is_complete: bool) -> bool {
        if weight(label, is_complete).is_none() {
            return false;
        }
        self.observe_answer(label.score.probability, label.positive);
        true
    }

    fn observe_answer(&mut self, probability: f64, positive: bool) {
        let p = probability.clamp(LEAST, 1.0 - LEAST);
        let (odds, root) = (p / (1.0 - p), (p / (1.0 - p)).sqrt());
        let likelihood = |odds: f64| if positive { odds / (1.0 + odds) } else { 1.0 / (1.0 + odds) };
        self.evidence.multiply(|bet| {
            let (alternative, tolerated) = match (bet / 2, bet % 2) {
                (i, 0) if i < FACTORS.len() => (odds * FACTORS[i], odds * TOLERATED),
                (i, _) if i < FACTORS.len() => (odds / FACTORS[i], odds / TOLERATED),
                // Toward 1 below one half and away from it above, or the other way: the nearest tolerated
                // odds lie on the same side.
                (_, 0) => (root, nearest(odds, root)),
                _ => (odds * odds, nearest(odds, odds * odds)),
            };
            likelihood(alternative) / likelihood(tolerated)
        });
    }

    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    pub fn encode(&self) -> Vec<u8> {
        self.evidence.encode()
    }

    /// `None` for bytes that [`CalibrationDetector::encode`] does not give.
    pub fn decode(threshold: f64, bytes: &[u8]) -> Option<Self> {
        Evidence::decode(N_BETS, threshold, bytes).map(|evidence| Self { evidence })
    }
}

/// The tolerated odds that are nearest to the alternative.
fn nearest(odds: f64, alternative: f64) -> f64 {
    alternative.clamp(odds / TOLERATED, odds * TOLERATED)
}

#[cfg(test)]
mod tests;
