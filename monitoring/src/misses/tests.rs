//! The rate of false alarms, the delay, and the effect of weights.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn run_length(promise: &Promise, share: f64, most: u64, rng: &mut ChaCha8Rng) -> u64 {
    let mut detector = RateDetector::new(Error::Miss, promise);
    while !detector.evidence().is_in_alarm() && detector.evidence().n() < most {
        detector.observe_answer(rng.random::<f64>() < share, 1.0);
    }
    detector.evidence().n()
}

fn median(mut lengths: Vec<u64>) -> u64 {
    lengths.sort_unstable();
    lengths[lengths.len() / 2]
}

#[test]
fn false_alarms_keep_the_budget_and_delays_the_goal() {
    let promise = Promise::default();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let lengths: Vec<u64> = (0..1000).map(|_| run_length(&promise, 0.05, 100_000, &mut rng)).collect();
    let mean = lengths.iter().sum::<u64>() as f64 / 1000.0;
    assert!(mean >= promise.threshold, "a false alarm every {mean} labels");
    let mut delay =
        |share: f64| median((0..1000).map(|_| run_length(&promise, share, 100_000, &mut rng)).collect());
    let (ten, fifteen) = (delay(0.10), delay(0.15));
    assert!(ten <= 300 && fifteen <= 110, "{ten} {fifteen}");
}

#[test]
fn weights_stand_for_the_images_that_were_not_drawn() {
    // Of the positives, 5 % are missed, and one miss in five is drawn.
    let promise = Promise { max_weight: 5.0, ..Promise::default() };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut run = |share: f64| {
        let mut detector = RateDetector::new(Error::Miss, &promise);
        let mut n = 0u64;
        while !detector.evidence().is_in_alarm() && n < 50_000 {
            n += 1;
            let is_miss = rng.random::<f64>() < share;
            if !is_miss || rng.random::<f64>() < 0.2 {
                detector.observe_answer(is_miss, if is_miss { 5.0 } else { 1.0 });
            }
        }
        n
    };
    let mean = (0..400).map(|_| run(0.05)).sum::<u64>() as f64 / 400.0;
    assert!(mean >= promise.threshold, "a false alarm every {mean} positives");
    assert!(median((0..400).map(|_| run(0.15)).collect()) < 400);
}

#[test]
fn the_state_survives_its_encoding_and_nothing_else_decodes() {
    let promise = Promise::default();
    let mut detector = RateDetector::new(Error::FalsePositive, &promise);
    (0..50).for_each(|i| detector.observe_answer(i % 3 == 0, 1.0));
    let bytes = detector.encode();
    assert_eq!(RateDetector::decode(Error::FalsePositive, &promise, &bytes), Some(detector));
    for broken in [&bytes[..8], &[], &[0xff; 40]] {
        assert_eq!(RateDetector::decode(Error::Miss, &promise, broken), None);
    }
    // Shares that leave nothing to find are no panic and no NaN.
    for (accepted, limit) in [(0.0, 0.0), (1.0, 1.0), (0.5, 0.1), (f64::MIN_POSITIVE, 2.0)] {
        let odd = Promise { accepted, limit, ..promise };
        let mut detector = RateDetector::new(Error::Miss, &odd);
        (0..2000).for_each(|_| detector.observe_answer(true, 1e9));
        assert!(detector.evidence().value().is_finite());
    }
}
