//! The prevalence that is found, its interval, and what its detector does not confuse with it.

use super::*;
use crate::baseline::Options;
use crate::synthetic::{observation, stream, weeks};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn detector() -> PrevalenceDetector {
    let images = weeks(50, &mut ChaCha8Rng::seed_from_u64(1));
    let mut baseline = Baseline::propose(&stream(true), &images, &Options::default()).unwrap();
    baseline.settings.iter_mut().for_each(|setting| setting.is_armed = true);
    PrevalenceDetector::new(Arc::new(baseline)).unwrap()
}

fn with_prevalence(leaf: u64, prevalence: f64, rng: &mut ChaCha8Rng) -> Observation {
    let wanted = rng.random::<f64>() < prevalence;
    loop {
        let image = observation(leaf, rng);
        if (image.score.as_ref().unwrap().probability > 0.5) == wanted {
            return image;
        }
    }
}

#[test]
fn a_fall_is_found_and_the_same_prevalence_is_not() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut detector = detector();
    assert!(detector.report().is_none(), "no image, no estimate");
    assert!((0..20_000).all(|leaf| detector.observe(&with_prevalence(leaf, 0.63, &mut rng)).is_none()));
    let found = (0..1000).find(|leaf| detector.observe(&with_prevalence(*leaf, 0.35, &mut rng)).is_some());
    assert!(found.unwrap() < 200, "{found:?}");
    for leaf in 0..500 {
        assert_eq!(detector.observe(&with_prevalence(leaf, 0.35, &mut rng)), None, "an alarm opens once");
    }
    let report = detector.report().unwrap();
    assert!(report.in_alarm && (report.baseline - 0.6).abs() < 0.03, "{report:?}");
    let resumed = PrevalenceDetector::decode(Arc::clone(&detector.baseline), &detector.encode()).unwrap();
    assert_eq!(resumed.unwrap().encode(), detector.encode());
    detector.restart();
    assert!(!detector.is_in_alarm());
}

#[test]
fn the_interval_covers_the_share() {
    // Calibrated at a share of one half: odds of a value x are x / (1 - x) with density 2x for positives.
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let reference = ShareReference { mean: 0.5, tolerance: 0.0, by_days: [(0.5, 0.0); 2] };
    for share in [0.1, 0.5, 0.8] {
        let mut covered = 0;
        for _ in 0..200 {
            let mut draw = || {
                let root = rng.random::<f64>().sqrt();
                if rng.random::<f64>() < share { root } else { 1.0 - root }
            };
            let probabilities: Vec<f64> = (0..400).map(|_| draw()).collect();
            let found = estimate(probabilities.iter().copied(), &reference).unwrap();
            covered += u32::from((found.low..=found.high).contains(&share));
        }
        assert!((183..=199).contains(&covered), "{share}: {covered} of 200");
    }
    for extreme in [vec![0.0], vec![1.0], vec![0.5], vec![0.0, 1.0]] {
        let found = estimate(extreme.into_iter(), &reference).unwrap();
        assert!(found.low <= found.value && found.value <= found.high && found.value.is_finite());
    }
}
