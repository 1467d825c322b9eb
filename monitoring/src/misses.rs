//! Detectors of misses among labelled positives, and of false positives among labelled negatives.
//!
//! The null hypothesis is that the share of errors is at most what is accepted. A bet on a larger share pays
//! `1 + stake * weight * (error - accepted)`, with the inverse inclusion probability as weight: on average over
//! the drawn sample that is what it would pay if every image were labelled.

use crate::evidence::Evidence;
use crate::observation::LabelledObservation;

/// What a detector is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Share up to which an alarm is false.
    pub accepted: f64,
    /// Share that must be found: the contractual limit.
    pub limit: f64,
    /// Labels of the class between two false alarms: labels a year over the share of the budget.
    pub threshold: f64,
    /// Inverse of the least inclusion probability.
    pub max_weight: f64,
}

impl Default for Promise {
    /// 5 % accepted, 10 % found; one false alarm in 1,000 labels, and every image labelled or reviewed.
    fn default() -> Self {
        Self { accepted: 0.05, limit: 0.1, threshold: 1000.0, max_weight: 1.0 }
    }
}

/// Which answers count as errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    Miss,
    FalsePositive,
}

impl Error {
    /// Name of the detector.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Miss => "misses",
            Self::FalsePositive => "false_positives",
        }
    }
}

/// Evidence that the share of errors is above what is accepted. State to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct RateDetector {
    error: Error,
    accepted: f64,
    stakes: [f64; ALTERNATIVES.len()],
    max_weight: f64,
    evidence: Evidence,
}

/// Shares that the bets are best for, in multiples of the limit.
const ALTERNATIVES: [f64; 3] = [1.0, 1.5, 3.0];

impl RateDetector {
    pub fn new(error: Error, promise: &Promise) -> Self {
        let evidence = Evidence::new(ALTERNATIVES.len(), promise.threshold);
        let accepted = promise.accepted.clamp(1e-4, 0.5);
        let max_weight = promise.max_weight.max(1.0);
        // The stake at which the bet is the likelihood ratio. No answer may cost more than was bet.
        let stakes = ALTERNATIVES.map(|multiple| {
            let share = (promise.limit * multiple).clamp(accepted * 1.2, 0.9);
            let stake = (share - accepted) / (accepted * (1.0 - accepted));
            stake.min(0.95 / (accepted * max_weight))
        });
        Self { error, accepted, stakes, max_weight, evidence }
    }

    /// Skips corrections, repeats, the other class, and labels that were not sought by design: those without an
    /// inclusion probability, unless `is_complete`: the site labels every image. Returns whether it counted.
    pub fn observe(&mut self, label: &LabelledObservation, is_complete: bool) -> bool {
        let Some(weight) = weight(label, is_complete) else { return false };
        if label.positive != (self.error == Error::Miss) {
            return false;
        }
        let is_flagged = label.score.probability >= label.score.threshold;
        self.observe_answer(is_flagged != label.positive, weight);
        true
    }

    fn observe_answer(&mut self, is_error: bool, weight: f64) {
        let weight = weight.min(self.max_weight);
        let gain = weight * (f64::from(u8::from(is_error)) - self.accepted);
        let stakes = self.stakes;
        self.evidence.multiply(|bet| 1.0 + stakes[bet] * gain);
    }

    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    pub fn encode(&self) -> Vec<u8> {
        self.evidence.encode()
    }

    /// `None` for bytes that [`RateDetector::encode`] does not give.
    pub fn decode(error: Error, promise: &Promise, bytes: &[u8]) -> Option<Self> {
        let evidence = Evidence::decode(ALTERNATIVES.len(), promise.threshold, bytes)?;
        Some(Self { evidence, ..Self::new(error, promise) })
    }
}

/// Inverse inclusion probability of a label that a detector may count.
pub(crate) fn weight(label: &LabelledObservation, is_complete: bool) -> Option<f64> {
    let is_usable =
        !label.is_correction && !label.is_repeat && (0.0..=1.0).contains(&label.score.probability);
    let pi = if is_complete { 1.0 } else { label.inclusion_probability? };
    (is_usable && pi > 0.0 && pi <= 1.0).then_some(1.0 / pi)
}
