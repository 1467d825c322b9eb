//! Detectors of misses among labelled positives, and of false positives among labelled negatives.

use crate::observation::LabelledObservation;

/// Evidence that a share is above what was promised. State to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct RateDetector {}

/// What a detector is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Share up to which alarms are false.
    pub accepted: f64,
    /// Share that must be found: the contractual limit.
    pub limit: f64,
    /// Labels of the class between two false alarms.
    pub threshold: f64,
    /// Inverse of the least inclusion probability.
    pub max_weight: f64,
}

/// Which answers it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    Miss,
    FalsePositive,
}

impl RateDetector {
    pub fn new(error: Error, promise: &Promise) -> Self {
        todo!()
    }
    /// Ignores corrections, repeats, the other class and labels without an inclusion probability unless
    /// `is_complete`: the site labels every image. Returns whether the label counted.
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
    pub fn decode(error: Error, promise: &Promise, bytes: &[u8]) -> Option<Self> {
        todo!()
    }
}
