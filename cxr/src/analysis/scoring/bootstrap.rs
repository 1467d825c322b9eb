//! Confidence intervals by resampling patients.

use crate::reference::quantile;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// The 95 % percentile interval of `statistic` (Efron and Tibshirani 1993, chapter 13). Patients are drawn
/// with replacement, each with all of its images (cluster bootstrap, Field and Welsh 2007): images of one
/// patient are not independent, and drawing images would make the interval too narrow.
///
/// `groups` holds the patient of every image. `statistic` gets the image indices of a resample, repeated as
/// often as their patient was drawn. The result is the same on every machine. A resample whose statistic is
/// `None` or not finite is skipped. `None` if more than half of them are skipped, if `resamples` is 0, and
/// for fewer than two patients.
pub fn interval95(
    groups: &[usize],
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<[f64; 2]> {
    resampled(groups, resamples, seed, statistic).map(|found| found.ci95)
}

/// Distribution of a statistic over resamples of the patients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampled {
    pub median: f64,
    /// 2.5th and 97.5th percentile.
    pub ci95: [f64; 2],
}

/// Median and 95 % interval; see [`interval95`].
pub fn resampled(
    groups: &[usize],
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Resampled> {
    let mut by_patient: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (image, patient) in groups.iter().enumerate() {
        by_patient.entry(*patient).or_default().push(image);
    }
    let patients: Vec<Vec<usize>> = by_patient.into_values().collect();
    if patients.len() < 2 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut images = Vec::with_capacity(groups.len());
    let mut values = Vec::new();
    for _ in 0..resamples {
        images.clear();
        for _ in 0..patients.len() {
            images.extend_from_slice(&patients[rng.random_range(0..patients.len())]);
        }
        values.extend(statistic(&images).filter(|value| value.is_finite()));
    }
    if values.is_empty() || 2 * values.len() < resamples {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Resampled {
        median: quantile(&values, 0.5),
        ci95: [quantile(&values, 0.025), quantile(&values, 0.975)],
    })
}
