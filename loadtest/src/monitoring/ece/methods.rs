//! The intervals under comparison.

use super::population::{Population, Sample};
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::calibration_error::{BINS, ece_interval, edges_of_equal_count};
use cxr::analysis::scoring::reliability::{bins_equal_width, ece};
use statrs::distribution::{Beta, ContinuousCDF};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// `cxr`'s interval of the l2 error over bins of equal count.
    Inversion,
    /// Percentile bootstrap over patients of the plug-in l1 error over 15 bins of equal width.
    Percentile,
    /// Simultaneous Clopper-Pearson intervals of the rates of the bins of `Inversion`.
    ClopperPearson,
}

pub(super) const METHODS: [Method; 3] = [Method::Inversion, Method::Percentile, Method::ClopperPearson];

/// An interval with the truth that it is about.
pub(super) struct Found {
    pub(super) value: f64,
    pub(super) ci95: [f64; 2],
    pub(super) truth: f64,
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Inversion => "cxr",
            Self::Percentile => "percentile bootstrap",
            Self::ClopperPearson => "simultaneous Clopper-Pearson",
        }
    }

    pub(super) fn interval(
        self,
        sample: &Sample,
        population: &Population,
        resamples: usize,
    ) -> Option<Found> {
        match self {
            Self::Inversion => inversion(sample, population),
            Self::Percentile => percentile(sample, population, resamples),
            Self::ClopperPearson => simultaneous(sample, population),
        }
    }
}

fn l2(bins: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    bins.into_iter().map(|(share, gap)| share * gap * gap).sum::<f64>().sqrt()
}

fn inversion(sample: &Sample, population: &Population) -> Option<Found> {
    let found = ece_interval(&sample.probabilities, &sample.positive, &sample.patients)?;
    let edges = edges_of_equal_count(&sample.probabilities, found.n_bins);
    Some(Found { value: found.value, ci95: found.ci95, truth: l2(population.bins(&edges)) })
}

fn percentile(sample: &Sample, population: &Population, resamples: usize) -> Option<Found> {
    let plug_in = |p: &[f64], y: &[bool]| ece(&bins_equal_width(p, y, BINS));
    let ci95 = interval95(&sample.patients, resamples, 1, |images| {
        let (p, y): (Vec<f64>, Vec<bool>) =
            images.iter().map(|image| (sample.probabilities[*image], sample.positive[*image])).unzip();
        Some(plug_in(&p, &y))
    })?;
    let edges: Vec<f64> = (1..BINS).map(|bin| bin as f64 / BINS as f64).collect();
    let truth = population.bins(&edges).into_iter().map(|(share, gap)| share * gap.abs()).sum();
    Some(Found { value: plug_in(&sample.probabilities, &sample.positive), ci95, truth })
}

/// From the smallest to the largest l2 error that rates within the bins' intervals allow.
fn simultaneous(sample: &Sample, population: &Population) -> Option<Found> {
    let edges = edges_of_equal_count(&sample.probabilities, BINS);
    let mut bins = vec![(0_u32, 0_u32, 0.0); edges.len() + 1];
    for (p, y) in sample.probabilities.iter().zip(&sample.positive) {
        let bin = &mut bins[edges.partition_point(|edge| edge < p)];
        *bin = (bin.0 + 1, bin.1 + u32::from(*y), bin.2 + p);
    }
    let (mut least, mut value, mut most) = (Vec::new(), Vec::new(), Vec::new());
    for (n, k, sum) in &bins {
        let (share, p) = (f64::from(*n) / sample.positive.len() as f64, sum / f64::from(*n));
        let [low, high] = clopper_pearson(*k, *n, 0.05 / bins.len() as f64)?;
        least.push((share, (low - p).max(p - high).max(0.0)));
        value.push((share, f64::from(*k) / f64::from(*n) - p));
        most.push((share, (high - p).max(p - low)));
    }
    Some(Found { value: l2(value), ci95: [l2(least), l2(most)], truth: l2(population.bins(&edges)) })
}

/// The interval of Clopper and Pearson (1934) with an error rate of `alpha`.
fn clopper_pearson(k: u32, n: u32, alpha: f64) -> Option<[f64; 2]> {
    let (successes, failures) = (f64::from(k), f64::from(n - k));
    let quantile = |a: f64, b: f64, q: f64| Beta::new(a, b).ok().map(|beta| beta.inverse_cdf(q));
    let low = if k == 0 { 0.0 } else { quantile(successes, failures + 1.0, alpha / 2.0)? };
    let high = if k == n { 1.0 } else { quantile(successes + 1.0, failures, 1.0 - alpha / 2.0)? };
    Some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intervals_of_clopper_and_pearson_are_scipys() {
        // scipy 1.17.1: scipy.stats.binomtest(k, n).proportion_ci(1 - alpha, "exact")
        for (k, n, alpha, low, high) in [
            (0, 20, 0.05, 0.0, 0.16843347098308548),
            (1, 20, 0.0033333333333333335, 8.339937711341339e-05, 0.3591451909032934),
            (20, 20, 0.0033333333333333335, 0.726260522025859, 1.0),
            (37, 67, 0.0033333333333333335, 0.36849721971590016, 0.7264066919515163),
            (3, 333, 0.0033333333333333335, 0.0006865308079453305, 0.03674653838915697),
            (5000, 5001, 0.05, 0.998886403237206, 0.9999949374637385),
        ] {
            let [found_low, found_high] = clopper_pearson(k, n, alpha).unwrap();
            assert!(
                (found_low - low).abs() < 1e-8 && (found_high - high).abs() < 1e-8,
                "{k} of {n} at {alpha}: {found_low} {found_high}"
            );
        }
    }
}
