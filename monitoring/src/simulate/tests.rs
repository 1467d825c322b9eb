//! What a simulation measures, and what it arms.

use super::*;
use crate::quantity::Group;
use crate::synthetic::{stream, weeks};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

#[test]
fn steady_weeks_arm_every_detector_and_a_restless_site_does_not() {
    let mut images = weeks(50, &mut ChaCha8Rng::seed_from_u64(1));
    let options = Options::default();
    let simulated = |images: &[crate::observation::Observation]| {
        let sample = Sample::of(&stream(false), images);
        let mut baseline = Baseline::of_sample(&sample, &options).unwrap();
        let plan = Plan { n_years: 40, n_delays: 20, ..Plan::default() };
        let simulation = simulate(&sample, &baseline, &options, &plan, &|done| assert!(done <= 1.0));
        baseline.arm(&simulation);
        (baseline, simulation)
    };
    let (baseline, simulation) = simulated(&images);
    assert!(baseline.settings.iter().all(|setting| setting.is_armed), "{:?}", simulation.detectors);
    let half = simulation.delays.iter().find(|delay| delay.shift.contains("0.5 sd")).unwrap();
    assert!(half.median_images.unwrap() < 150, "{half:?}");
    // The last week is unlike the others: a baseline of these weeks cannot say what is normal.
    for image in images.iter_mut().filter(|image| image.leaf_index > 4200) {
        if let Some(inputs) = &mut image.inputs {
            inputs[0] += 0.2;
        }
    }
    let (baseline, simulation) = simulated(&images);
    let inputs = Detector::Group(Group::Inputs);
    assert!(!baseline.setting(inputs).unwrap().is_armed, "{:?}", simulation.detectors);
    assert!(baseline.setting(Detector::Group(Group::Rejections)).unwrap().is_armed);
}

#[test]
fn nothing_simulated_arms_nothing() {
    let images = weeks(50, &mut ChaCha8Rng::seed_from_u64(1));
    let options = Options { min_images: 100, min_weeks: 0, ..Options::default() };
    let sample = Sample::of(&stream(true), &images[..900]);
    let mut baseline = Baseline::of_sample(&sample, &options).unwrap();
    let plan = Plan { n_years: 0, ..Plan::default() };
    baseline.arm(&simulate(&sample, &baseline, &options, &plan, &|_| {}));
    assert!(baseline.settings.iter().all(|setting| !setting.is_armed));
    // Quarters stand in for weeks where a demonstration asks for none.
    let plan = Plan { n_years: 2, ..plan };
    assert_eq!(simulate(&sample, &baseline, &options, &plan, &|_| {}).n_years, 2);
}

#[test]
fn the_interval_is_garwoods() {
    // scipy.stats.chi2.ppf(0.025, 2 k) / 2 and chi2.ppf(0.975, 2 k + 2) / 2
    for (count, low, high) in [(0, 0.0, 3.688_879), (1, 0.025_318, 5.571_643), (10, 4.795_389, 18.390_356)] {
        let found = poisson_interval(count);
        assert!((found.0 - low).abs() < 1e-5 && (found.1 - high).abs() < 1e-5, "{count}: {found:?}");
    }
}
