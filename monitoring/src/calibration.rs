//! Detector of calibration: evidence in labels that probabilities are wrong by more than a tolerated factor of
//! the odds. Needs no reference.

use crate::observation::LabelledObservation;

/// State to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationDetector {}

impl CalibrationDetector {
    /// `threshold`: labels between two false alarms.
    pub fn new(threshold: f64) -> Self {
        todo!()
    }
    /// As [`crate::misses::RateDetector::observe`].
    pub fn observe(&mut self, label: &LabelledObservation, is_complete: bool) -> bool {
        todo!()
    }
    pub fn evidence(&self) -> f64 {
        todo!()
    }
    pub fn threshold(&self) -> f64 {
        todo!()
    }
    pub fn is_in_alarm(&self) -> bool {
        todo!()
    }
    pub fn n(&self) -> u64 {
        todo!()
    }
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
    pub fn decode(threshold: f64, bytes: &[u8]) -> Option<Self> {
        todo!()
    }
}
