//! 95 % intervals of shares and means of images, of which those of one patient-day depend on each other.

use crate::snapshot::Figure;
use statrs::distribution::{Beta, ContinuousCDF};
use std::collections::BTreeMap;

/// Standard normal quantile of 0.975.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// The exact interval of `k` in `n` (Clopper and Pearson 1934). The counts may be fractions: those of an
/// effective sample (Korn and Graubard 1998).
pub(super) fn clopper_pearson(k: f64, n: f64) -> [f64; 2] {
    let quantile = |a: f64, b: f64, at: f64| Beta::new(a, b).map_or(f64::NAN, |beta| beta.inverse_cdf(at));
    let low = if k <= 0.0 { 0.0 } else { quantile(k, n - k + 1.0, 0.025) };
    let high = if k >= n { 1.0 } else { quantile(k + 1.0, n - k, 0.975) };
    [low, high]
}

/// A share of items, each with its patient-day. `None` without items.
pub(super) fn share(items: &[(u64, bool)]) -> Option<Figure> {
    let n = items.len() as f64;
    let k = items.iter().filter(|(_, is_hit)| *is_hit).count() as f64;
    let value = if items.is_empty() { return None } else { k / n };
    let residuals = items.iter().map(|(day, is_hit)| (*day, f64::from(u8::from(*is_hit)) - value));
    let (variance, n_days) = variance_of_sum(residuals);
    // Where all are alike, the images tell nothing of their dependence: count patient-days.
    let effect = if k > 0.0 && k < n { variance / (n * value * (1.0 - value)) } else { n / n_days };
    let effective = n / effect.max(1.0);
    let [low, high] = clopper_pearson(value * effective, effective);
    Some(Figure { value, low: low.min(value), high: high.max(value), n: items.len() as u64 })
}

/// A weighted mean of `(patient-day, value, weight)`, within `range`. `None` unless there are two
/// patient-days.
pub(super) fn mean(items: &[(u64, f64, f64)], range: [f64; 2]) -> Option<Figure> {
    let weight: f64 = items.iter().map(|(_, _, weight)| weight).sum();
    let value = items.iter().map(|(_, value, weight)| value * weight).sum::<f64>() / weight;
    let residuals = items.iter().map(|(day, item, weight)| (*day, weight * (item - value)));
    let (variance, n_days) = variance_of_sum(residuals);
    if n_days < 2.0 || !value.is_finite() {
        return None;
    }
    let half = Z * variance.sqrt() / weight;
    Some(Figure {
        value,
        low: (value - half).max(range[0]),
        high: (value + half).min(range[1]),
        n: items.len() as u64,
    })
}

/// Variance of the sum of residuals that sum to zero, and the number of patient-days.
pub(super) fn variance_of_sum(residuals: impl Iterator<Item = (u64, f64)>) -> (f64, f64) {
    let mut days: BTreeMap<u64, f64> = BTreeMap::new();
    for (day, residual) in residuals {
        *days.entry(day).or_default() += residual;
    }
    let n_days = days.len() as f64;
    let squares: f64 = days.values().map(|sum| sum * sum).sum();
    (squares * n_days / (n_days - 1.0).max(1.0), n_days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_interval_is_scipys() {
        // scipy 1.17: stats.binomtest(k, n).proportion_ci(method="exact").
        for (k, n, low, high) in [
            (0.0, 20.0, 0.0, 0.168_433_471),
            (1.0, 29.0, 0.000_872_647, 0.177_644_295),
            (81.0, 263.0, 0.252_736_746, 0.367_621_923),
            (20.0, 20.0, 0.831_566_529, 1.0),
        ] {
            let [found_low, found_high] = clopper_pearson(k, n);
            assert!(
                (found_low - low).abs() < 1e-8 && (found_high - high).abs() < 1e-8,
                "{k} of {n}: {found_low} {found_high}"
            );
        }
    }

    #[test]
    fn images_of_one_patient_count_as_one() {
        let thrice: Vec<(u64, bool)> = (0..300).map(|i| (i / 3, i / 3 % 4 == 0)).collect();
        let once: Vec<(u64, bool)> = (0..100).map(|i| (i, i % 4 == 0)).collect();
        let (thrice, once) = (share(&thrice).unwrap(), share(&once).unwrap());
        assert!((thrice.low - once.low).abs() < 2e-3 && (thrice.high - once.high).abs() < 2e-3);
        let alike = share(&[(1, true), (1, true), (1, true)]).unwrap();
        assert!((alike.low - 0.025).abs() < 1e-9, "one patient: {}", alike.low);
        assert!(share(&[]).is_none());
        assert!(mean(&[(1, 0.5, 1.0)], [0.0, 1.0]).is_none() && mean(&[], [0.0, 1.0]).is_none());
    }
}
