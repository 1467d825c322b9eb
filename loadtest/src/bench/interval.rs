//! Medians with bootstrap intervals.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 10_000;

/// A median over the rounds with its 95 % bootstrap interval (percentile method, Efron 1979).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub value: f64,
    /// 2.5th percentile of the resampled medians.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

impl Interval {
    /// The median of `values`; `None` without values or with a NaN. A single value is its own interval.
    pub fn of_median(values: &[f64], seed: u64) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut draw = || values[rng.random_range(0..values.len())];
                median(&values.iter().map(|_| draw()).collect::<Vec<f64>>())
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let at = |q: f64| medians[(q * (RESAMPLES - 1) as f64).round() as usize];
        Some(Self { value: median(values), low: at(0.025), high: at(0.975) })
    }
}

/// The median; NaN without values.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_contains_the_median_and_ignores_one_outlier() {
        let found = Interval::of_median(&[1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 40.0], 1).unwrap();
        assert!((found.value - 1.02).abs() < 1e-12);
        assert!(found.low < found.value && found.value < found.high && found.high < 2.0, "{found:?}");
        assert_eq!(Interval::of_median(&[3.0], 1).map(|i| (i.low, i.value, i.high)), Some((3.0, 3.0, 3.0)));
        assert_eq!(Interval::of_median(&[], 1), None);
        assert_eq!(Interval::of_median(&[f64::NAN, 1.0], 1), None);
    }

    #[test]
    fn an_even_number_of_values_has_a_median_between_two() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-12);
        assert!(median(&[]).is_nan());
    }
}
