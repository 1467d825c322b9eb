//! The rate of false alarms and delays of the detector of calibration.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Labels until an alarm, with log odds that are wrong by `intercept` and `slope`.
fn run_length(intercept: f64, slope: f64, most: u64, rng: &mut ChaCha8Rng) -> u64 {
    let mut detector = CalibrationDetector::new(1000.0);
    while !detector.evidence().is_in_alarm() && detector.evidence().n() < most {
        let log_odds = 10.0 * (rng.random::<f64>() - 0.5);
        let right = 1.0 / (1.0 + (-(intercept + slope * log_odds)).exp());
        detector.observe_answer(1.0 / (1.0 + (-log_odds).exp()), rng.random::<f64>() < right);
    }
    detector.evidence().n()
}

#[test]
fn tolerated_errors_keep_the_budget_and_others_are_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for intercept in [0.0, 0.2, -0.2] {
        let lengths: Vec<u64> = (0..300).map(|_| run_length(intercept, 1.0, 50_000, &mut rng)).collect();
        let mean = lengths.iter().sum::<u64>() as f64 / 300.0;
        assert!(mean >= 1000.0, "{intercept}: a false alarm every {mean} labels");
    }
    for (intercept, slope) in [(-1.5, 1.0), (1.5, 1.0), (0.0, 0.5), (0.0, 2.0)] {
        let mut lengths: Vec<u64> =
            (0..200).map(|_| run_length(intercept, slope, 50_000, &mut rng)).collect();
        lengths.sort_unstable();
        assert!(lengths[100] <= 600, "{intercept} {slope}: {}", lengths[100]);
    }
}

#[test]
fn impossible_probabilities_and_broken_states_are_harmless() {
    let mut detector = CalibrationDetector::new(1000.0);
    for (p, y) in [(0.0, true), (1.0, false), (0.5, true)] {
        detector.observe_answer(p, y);
        assert!(detector.evidence().value().is_finite());
    }
    let bytes = detector.encode();
    assert_eq!(CalibrationDetector::decode(1000.0, &bytes), Some(detector));
    assert_eq!(CalibrationDetector::decode(1000.0, &bytes[1..]), None);
}
