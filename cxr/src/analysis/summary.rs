//! Summary statistics for the tables of a data audit.

use crate::reference::quantile;
use serde::{Deserialize, Serialize};

/// Moments and quantiles; see [`quantile`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Number of values.
    pub n: usize,
    pub mean: f64,
    /// Standard deviation (divided by n - 1; 0 for one value).
    pub standard_deviation: f64,
    pub min: f64,
    pub p05: f64,
    pub p25: f64,
    pub median: f64,
    pub p75: f64,
    pub p95: f64,
    pub max: f64,
}

impl Summary {
    /// Summarises values; `None` if there are none or one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        if !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let at = |q| quantile(&sorted, q);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            n: sorted.len(),
            mean,
            standard_deviation: (squares / last.max(1) as f64).sqrt(),
            min: sorted[0],
            p05: at(0.05),
            p25: at(0.25),
            median: at(0.5),
            p75: at(0.75),
            p95: at(0.95),
            max: sorted[last],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_to_five() {
        let summary = Summary::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((summary.min, summary.median, summary.max, summary.mean), (1.0, 3.0, 5.0, 3.0));
        assert_eq!((summary.p25, summary.p05), (2.0, 1.2));
        assert!((summary.standard_deviation - 2.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }
}
