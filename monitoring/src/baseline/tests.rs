//! What a baseline asks for, keeps and tolerates.

use super::*;
use crate::quantity::Quantity;
use crate::synthetic::{observation, rejected, stream, weeks};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use reference::Reference;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

#[test]
fn too_few_images_or_weeks_are_named() {
    let images = weeks(50, &mut rng());
    let propose = |n: usize, options: &Options| Baseline::propose(&stream(true), &images[..n], options);
    let few = propose(300, &Options::default()).unwrap_err();
    assert_eq!(few, BaselineError::FewImages { found: 300, needed: 5000 });
    let short = propose(5200, &Options::default()).unwrap_err();
    assert_eq!(short, BaselineError::FewWeeks { found: 3, needed: 4 });
    let demo = Options { min_images: 200, min_weeks: 0, ..Options::default() };
    assert_eq!(propose(300, &demo).unwrap().n_used, 300);
    let nothing: Vec<_> = (0..300).map(|leaf| rejected(leaf, "blank")).collect();
    assert_eq!(Baseline::propose(&stream(true), &nothing, &demo), Err(BaselineError::NothingVaries));
    let one = Options { min_images: 0, min_weeks: 0, ..Options::default() };
    assert!(Baseline::propose(&stream(true), &nothing[..1], &one).is_err());
    let free = Options { alarms_per_year: 0.0, ..demo };
    assert_eq!(propose(300, &free), Err(BaselineError::Budget(0.0)));
}

#[test]
fn constant_and_missing_quantities_are_skipped_and_repeats_do_not_count() {
    let mut images = weeks(50, &mut rng());
    for image in &mut images {
        image.is_repeat = image.leaf_index % 2 == 1;
        if let Some(inputs) = &mut image.inputs {
            inputs[11..].fill(f64::NAN);
        }
    }
    let options = Options { min_images: 1000, ..Options::default() };
    let baseline = Baseline::propose(&stream(false), &images, &options).unwrap();
    let quantities: Vec<Quantity> = baseline.references.iter().map(|r| r.quantity).collect();
    assert!(!quantities.contains(&Quantity::Input(9)) && !quantities.contains(&Quantity::Input(12)));
    assert_eq!((quantities.len(), baseline.n_used, baseline.n_images), (10, 2800, 5600));
    assert!((baseline.used_per_year / 36_525.0 - 1.0).abs() < 0.01, "{}", baseline.used_per_year);
}

#[test]
fn bytes_round_trip_and_hostile_ones_are_an_error() {
    let images = weeks(50, &mut rng());
    for with_model in [false, true] {
        let baseline = Baseline::propose(&stream(with_model), &images, &Options::default()).unwrap();
        let bytes = baseline.encode();
        let decoded = Baseline::decode(&bytes).unwrap();
        assert_eq!(decoded, baseline);
        assert_eq!(decoded.digest(), baseline.digest());
        for end in (0..bytes.len()).step_by(977) {
            assert!(Baseline::decode(&bytes[..end]).is_err(), "{end}");
        }
        for at in 0..400 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut wrong = bytes.clone();
                wrong[at] = value;
                drop(Baseline::decode(&wrong));
            }
        }
    }
}

#[test]
fn ranks_are_uniform_also_among_ties_and_within_a_different_weekend() {
    let mut rng = rng();
    let mut images = weeks(50, &mut rng);
    for image in &mut images {
        let is_weekend = sample::stratum(image.received_at) >= 4;
        if let (true, Some(inputs)) = (is_weekend, &mut image.inputs) {
            inputs[0] += 0.1;
        }
    }
    let sample = Sample::of(&stream(false), &images);
    let rows: Vec<(u32, i32)> = (0..).zip(sample.days.iter().copied()).collect();
    for index in [0, 11] {
        let (quantity, column) = &sample.columns[index];
        let reference = Reference::new(*quantity, column, &sample, &rows, 0.0).unwrap();
        assert_eq!(reference.parts.len(), if index == 0 { 2 } else { 1 });
        let mut sums = [(0.0, 0.0); 2];
        for (row, value) in column.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            let stratum = usize::from(sample.strata[row]);
            let p = reference.part(stratum).rank(*value, || rand::RngExt::random(&mut rng));
            let (sum, n) = &mut sums[stratum / 4];
            (*sum, *n) = (*sum + p, *n + 1.0);
        }
        for (sum, n) in sums {
            assert!((sum / n - 0.5f64).abs() < 0.02, "{}", sum / n);
        }
    }
}

#[test]
fn the_tolerance_is_that_of_independent_images_or_of_days_that_depend() {
    let mut rng = rng();
    let mut images = weeks(50, &mut rng);
    let tolerance = |images: &[Observation]| {
        let options = Options { materiality: 0.0, ..Options::default() };
        let baseline = Baseline::propose(&stream(true), images, &options).unwrap();
        let found = baseline.references.iter().find(|r| r.quantity == Quantity::Coordinate(0));
        found.unwrap().parts[0].tolerances[0]
    };
    let independent = 3.0 / (3.0f64 * 5488.0).sqrt();
    assert!((1.0..1.6).contains(&(tolerance(&images) / independent)), "{}", tolerance(&images));
    for image in &mut images {
        let day = image.received_at.unix_timestamp() / 86_400;
        if let Some(score) = &mut image.score {
            score.coordinates[0] += if day % 3 == 0 { 1.5 } else { 0.0 };
        }
    }
    assert!(tolerance(&images) > 3.0 * independent, "{}", tolerance(&images));
    // A share without a case still leaves room for one.
    let none: Vec<_> = (0..5600).map(|leaf| observation(leaf, &mut rng)).collect();
    let baseline = Baseline::propose(&stream(false), &none, &Options::default()).unwrap();
    let share = baseline.rejections.unwrap();
    assert!(share.mean == 0.0 && share.tolerance > 0.01);
}
