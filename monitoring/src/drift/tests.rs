//! Detectors from outside: what raises an alarm, what does not, and equal bits after a restart.

use super::*;
use crate::baseline::Options;
use crate::synthetic::{observation, rejected, stream, weeks};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn baseline(with_model: bool) -> Arc<Baseline> {
    let images = weeks(50, &mut ChaCha8Rng::seed_from_u64(1));
    let mut baseline = Baseline::propose(&stream(with_model), &images, &Options::default()).unwrap();
    baseline.settings.iter_mut().for_each(|setting| setting.is_armed = true);
    Arc::new(baseline)
}

/// Opened alarms, up to the first.
fn until_alarm(
    detector: &mut DriftDetector,
    mut next: impl FnMut(u64) -> Observation,
    most: u64,
) -> Option<(u64, Opened)> {
    (0..most)
        .find_map(|n| detector.observe(&next(10_000 + n)).into_iter().next().map(|opened| (n + 1, opened)))
}

#[test]
fn images_like_the_baseline_raise_no_alarm() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for with_model in [false, true] {
        let mut detector = DriftDetector::new(baseline(with_model));
        let image =
            |leaf: u64| if leaf % 50 == 1 { rejected(leaf, "blank") } else { observation(leaf, &mut rng) };
        assert_eq!(until_alarm(&mut detector, image, 20_000), None);
        let (groups, quantities) = detector.report();
        assert_eq!(groups.len(), if with_model { 3 } else { 2 });
        assert!(quantities.iter().all(|quantity| quantity.shift.abs() < 0.4));
    }
}

#[test]
fn a_shift_names_its_group_quantity_and_begin_and_stays_until_resolved() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut detector = DriftDetector::new(baseline(false));
    assert_eq!(until_alarm(&mut detector, |leaf| observation(leaf, &mut rng), 500), None);
    let mut shifted = |leaf: u64| {
        let mut image = observation(leaf + 500, &mut rng);
        image.inputs.as_mut().unwrap()[2] += 0.15;
        image
    };
    let (n, opened) = until_alarm(&mut detector, &mut shifted, 500).unwrap();
    assert_eq!(opened.detector, Detector::Group(Group::Inputs));
    assert!(n < 60 && opened.quantities[0].0 == "p01" && opened.quantities[0].1 > 0.15, "{n} {opened:?}");
    let began = OffsetDateTime::from_unix_timestamp(1_736_121_600 + 10_500 * 432).unwrap();
    assert!((opened.change_at.unwrap() - began).abs() < time::Duration::days(1), "{opened:?}");
    assert_eq!(until_alarm(&mut detector, &mut shifted, 300), None, "an alarm opens once");
    assert!(detector.is_in_alarm(Group::Inputs) && !detector.is_in_alarm(Group::Rejections));
    detector.restart(Group::Inputs);
    assert!(!detector.is_in_alarm(Group::Inputs));
    assert!(until_alarm(&mut detector, &mut shifted, 100).is_some(), "the cause is still there");
}

#[test]
fn more_rejections_raise_an_alarm_of_their_own() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut detector = DriftDetector::new(baseline(false));
    let image = |leaf: u64| if leaf % 5 == 1 { rejected(leaf, "blank") } else { observation(leaf, &mut rng) };
    let (n, opened) = until_alarm(&mut detector, image, 1000).unwrap();
    assert!(n < 150 && opened.detector == Detector::Group(Group::Rejections), "{n} {opened:?}");
}

#[test]
fn a_detector_goes_on_from_its_bytes_with_the_same_bits() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for with_model in [false, true] {
        let baseline = baseline(with_model);
        let mut straight = DriftDetector::new(Arc::clone(&baseline));
        let mut resumed = DriftDetector::new(Arc::clone(&baseline));
        for leaf in 0..400 {
            let mut image = observation(leaf, &mut rng);
            if leaf > 200 {
                image.inputs.as_mut().unwrap()[0] += 0.3;
                image.score.as_mut().unwrap().ood_score += 2.0;
            }
            resumed = DriftDetector::decode(Arc::clone(&baseline), &resumed.encode()).unwrap();
            assert_eq!(straight.observe(&image), resumed.observe(&image));
            assert_eq!(straight.encode(), resumed.encode(), "{leaf}");
        }
        assert!(straight.report().0.iter().any(|group| group.in_alarm));
        let bytes = straight.encode();
        for end in 0..bytes.len() {
            assert!(DriftDetector::decode(Arc::clone(&baseline), &bytes[..end]).is_err());
        }
        let other = Arc::new(Baseline { n_images: 1, ..(*baseline).clone() });
        assert!(DriftDetector::decode(other, &bytes).is_err());
    }
}

#[test]
fn hostile_values_never_make_a_number_that_is_none() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let extremes =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 0.0, -0.0, f64::MIN_POSITIVE];
    for with_model in [false, true] {
        let mut detector = DriftDetector::new(baseline(with_model));
        for leaf in 0..5000 {
            let mut image = observation(leaf, &mut rng);
            let mut any = || extremes[rng.random_range(0..extremes.len())];
            image.inputs.as_mut().unwrap().iter_mut().for_each(|input| *input = any());
            let score = image.score.as_mut().unwrap();
            (score.probability, score.ood_score) = (any(), any());
            score.coordinates = (0..leaf % 40).map(|_| any() as f32).collect();
            detector.observe(&image);
            if leaf == 0 || leaf == 4999 {
                let (groups, quantities) = detector.report();
                assert!(groups.iter().all(|group| group.evidence.is_finite()));
                assert!(quantities.iter().all(|q| q.evidence.is_finite() && q.shift.is_finite()));
                let ood = detector.ood_report();
                assert!(ood.is_none_or(|ood| ood.share.value.is_finite() && ood.share.low <= ood.share.high));
            }
        }
    }
}

/// Evidence minus the number of images is a martingale without drift: its mean after `n` images is at most
/// `n`.
#[test]
fn the_mean_evidence_without_drift_is_at_most_the_number_of_images() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let stakes = bets::Stakes::new(&[0.0; bets::N_FUNCTIONS]);
    let (n_runs, n_images) = (40_000, 20);
    let mut sum = 0.0;
    for _ in 0..n_runs {
        let mut track = Track::<N_BETS>::default();
        for leaf in 0..n_images {
            track.add(&stakes.factors(&values(rng.random())), Place { leaf, received_at_s: 0 });
        }
        sum += track.evidence();
    }
    let mean = sum / f64::from(n_runs);
    assert!((mean / n_images as f64 - 1.0).abs() < 0.1, "{mean}");
}

#[test]
fn ties_are_placed_evenly_and_reproducibly() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let places: Vec<f64> = (0..4000)
        .map(|leaf| {
            let image = observation(leaf, &mut rng);
            assert!(
                tie(&image, Quantity::Ood, &[1; 32]).to_bits()
                    == tie(&image, Quantity::Ood, &[1; 32]).to_bits()
            );
            tie(&image, Quantity::Ood, &[1; 32])
        })
        .collect();
    let mean = places.iter().sum::<f64>() / 4000.0;
    assert!((mean - 0.5).abs() < 0.02 && places.iter().all(|p| (0.0..1.0).contains(p)), "{mean}");
}
