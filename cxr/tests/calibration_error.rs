//! The interval of the calibration error covers the truth, where that of resampling does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::calibration_error::{BINS, CalibrationError, ece_interval, edges_of_equal_count};
use cxr::analysis::scoring::reliability::{bins_equal_width, ece};
use cxr::reference::Reference;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

const N: usize = 300;
const REPETITIONS: usize = 400;

/// Draws from the shipped bundle's probabilities.
struct Population {
    quantiles: Vec<f64>,
    rng: ChaCha8Rng,
}

impl Population {
    fn new(seed: u64) -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/default/reference.json");
        let reference: Reference = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let quantiles =
            serde_json::from_value(serde_json::to_value(&reference.probability).unwrap()).unwrap();
        Self { quantiles, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn quantile(&self, u: f64) -> f64 {
        let place = u * (self.quantiles.len() - 1) as f64;
        let below = (place as usize).min(self.quantiles.len() - 2);
        self.quantiles[below] + (place - below as f64) * (self.quantiles[below + 1] - self.quantiles[below])
    }

    /// Images whose chance of being positive is `truth` of the probability.
    fn draw(&mut self, n: usize, truth: fn(f64) -> f64) -> (Vec<f64>, Vec<bool>) {
        (0..n)
            .map(|_| {
                let u = self.rng.random();
                let p = self.quantile(u);
                (p, self.rng.random::<f64>() < truth(p))
            })
            .unzip()
    }

    /// The population's error over bins with these edges.
    fn error(&self, edges: &[f64], truth: fn(f64) -> f64) -> f64 {
        const STEPS: usize = 20_000;
        let mut bins = vec![(0.0, 0.0); edges.len() + 1];
        for step in 0..STEPS {
            let p = self.quantile((step as f64 + 0.5) / STEPS as f64);
            let bin = &mut bins[edges.partition_point(|edge| *edge < p)];
            bin.0 += 1.0;
            bin.1 += truth(p) - p;
        }
        let squares = bins.iter().filter(|bin| bin.0 > 0.0).map(|(n, gaps)| gaps * gaps / n);
        (squares.sum::<f64>() / STEPS as f64).sqrt()
    }
}

const fn calibrated(p: f64) -> f64 {
    p
}

/// The classifier is surer than it is right: slope 0.6 on the logit.
fn overconfident(p: f64) -> f64 {
    1.0 / (1.0 + (-0.6 * (p / (1.0 - p)).ln()).exp())
}

#[test]
fn the_interval_covers_and_holds_its_value() {
    for (truth, seed) in [(calibrated as fn(f64) -> f64, 1), (overconfident, 2)] {
        let mut population = Population::new(seed);
        let groups: Vec<usize> = (0..N).collect();
        let mut covered = 0;
        for _ in 0..REPETITIONS {
            let (p, y) = population.draw(N, truth);
            let CalibrationError { value, ci95: [low, high], n_bins } =
                ece_interval(&p, &y, &groups).unwrap();
            assert!(n_bins == BINS && low <= value && value <= high && high < 0.25, "{low} {value} {high}");
            let error = population.error(&edges_of_equal_count(&p, n_bins), truth);
            covered += usize::from(low <= error && error <= high);
        }
        let coverage = covered as f64 / REPETITIONS as f64;
        assert!((0.93..=0.995).contains(&coverage), "seed {seed}: {coverage}");
    }
}

#[test]
fn resampling_the_plug_in_error_never_covers_zero() {
    let mut population = Population::new(3);
    let groups: Vec<usize> = (0..N).collect();
    for _ in 0..20 {
        let (p, y) = population.draw(N, calibrated);
        let [low, _] = interval95(&groups, 200, 7, |images| {
            let (p, y): (Vec<f64>, Vec<bool>) = images.iter().map(|i| (p[*i], y[*i])).unzip();
            Some(ece(&bins_equal_width(&p, &y, BINS)))
        })
        .unwrap();
        assert!(low > 0.0, "the truth is 0, and the interval begins at {low}");
    }
}

#[test]
fn copies_of_images_add_no_information() {
    let mut population = Population::new(4);
    let (mut covered, mut widths) = (0, [0.0, 0.0]);
    for _ in 0..REPETITIONS {
        let (p, y) = population.draw(N, calibrated);
        let triple = |i: usize| i / 3;
        let p: Vec<f64> = (0..3 * N).map(|i| p[triple(i)]).collect();
        let y: Vec<bool> = (0..3 * N).map(|i| y[triple(i)]).collect();
        let patients: Vec<usize> = (0..3 * N).map(triple).collect();
        let aware = ece_interval(&p, &y, &patients).unwrap();
        let unaware = ece_interval(&p, &y, &(0..3 * N).collect::<Vec<_>>()).unwrap();
        for (width, found) in widths.iter_mut().zip([aware, unaware]) {
            *width += found.ci95[1] - found.ci95[0];
        }
        covered += usize::from(aware.ci95[0] <= 0.0);
    }
    assert!(covered * 100 >= REPETITIONS * 93, "{covered}");
    assert!(widths[0] > 1.2 * widths[1], "{widths:?}");
}

#[test]
fn a_large_error_is_found_and_its_interval_shrinks() {
    let mut population = Population::new(5);
    let half = |p: f64| 0.5 * p;
    let mut widths = Vec::new();
    for n in [300, 5000] {
        let (p, y) = population.draw(n, half);
        let found = ece_interval(&p, &y, &(0..n).collect::<Vec<_>>()).unwrap();
        let error = population.error(&edges_of_equal_count(&p, found.n_bins), half);
        assert!(found.ci95[0] < error && error < found.ci95[1] && (found.value - error).abs() < 0.1);
        widths.push(found.ci95[1] - found.ci95[0]);
    }
    assert!(widths[1] < widths[0] / 3.0, "{widths:?}");
}

#[test]
fn the_order_of_the_images_does_not_matter() {
    let mut population = Population::new(6);
    let (mut p, mut y) = population.draw(500, overconfident);
    let mut groups: Vec<usize> = (0..500).map(|i| i / 2).collect();
    let found = ece_interval(&p, &y, &groups).unwrap();
    p.reverse();
    y.reverse();
    groups.reverse();
    let reversed = ece_interval(&p, &y, &groups).unwrap();
    let pairs =
        [(found.value, reversed.value), (found.ci95[0], reversed.ci95[0]), (found.ci95[1], reversed.ci95[1])];
    assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-9), "{pairs:?}");
}

#[test]
fn degenerate_input_has_no_interval_and_extreme_input_a_finite_one() {
    let none =
        |p: &[f64], y: &[bool], groups: &[usize]| assert_eq!(ece_interval(p, y, groups), None, "{p:?}");
    none(&[], &[], &[]);
    none(&[0.5], &[true], &[0]);
    none(&[0.5, 0.6], &[true, true], &[0, 1]);
    none(&[0.5, 0.6], &[true, false], &[7, 7]);
    none(&[0.5, f64::NAN], &[true, false], &[0, 1]);
    none(&[0.5, f64::INFINITY], &[true, false], &[0, 1]);
    none(&[0.5, 1.1], &[true, false], &[0, 1]);
    none(&[0.5, 0.6], &[true, false, true], &[0, 1]);
    none(&[0.5, 0.6], &[true, false], &[0]);
    let finite = |p: &[f64], y: &[bool]| {
        let groups: Vec<usize> = (0..p.len()).collect();
        let found = ece_interval(p, y, &groups).unwrap();
        let [low, high] = found.ci95;
        assert!(0.0 <= low && low <= found.value && found.value <= high && high <= 1.0, "{found:?}");
        found
    };
    finite(&[0.5, 0.6], &[true, false]);
    finite(&[0.0, 1.0], &[true, false]);
    let labels: Vec<bool> = (0..N).map(|i| i % 2 == 0).collect();
    let of = |p: fn(bool) -> f64| -> Vec<f64> { labels.iter().map(|y| p(*y)).collect() };
    let right = finite(&of(|y| f64::from(u8::from(y))), &labels);
    assert!(
        right.ci95[0] <= 0.0 && right.value < 0.01 && right.ci95[1] > 0.01 && right.ci95[1] < 0.2,
        "{right:?}"
    );
    let wrong = finite(&of(|y| f64::from(u8::from(!y))), &labels);
    assert!(wrong.ci95[0] > 0.9, "{wrong:?}");
    finite(&of(|_| 0.5), &labels);
    finite(&of(|_| 0.0), &labels);
    finite(&of(|_| f64::MIN_POSITIVE), &labels);
}

#[test]
fn five_thousand_images_take_milliseconds() {
    let mut population = Population::new(7);
    let (p, y) = population.draw(5000, overconfident);
    let groups: Vec<usize> = (0..5000).map(|i| i / 2).collect();
    let fastest = (0..5)
        .map(|_| {
            let started = Instant::now();
            ece_interval(&p, &y, &groups).unwrap();
            started.elapsed()
        })
        .min();
    assert!(fastest < Some(Duration::from_millis(50)), "{fastest:?}");
}
