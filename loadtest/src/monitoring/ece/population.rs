//! Populations with a known calibration error, and samples of them.

use anyhow::{Result, ensure};
use cxr::reference::quantile;
use rand::{Rng, RngExt};

/// Points at which a population is evaluated.
const POINTS: usize = 100_000;

/// How the chance of being positive depends on the probability that the classifier states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Calibrated,
    /// Slope 0.6 on the logit.
    Slope,
    /// Intercept -1.5 on the logit.
    Intercept,
    /// Between 5 and 95 %, however sure the classifier is.
    Overconfident,
    /// Calibrated; three images of each patient, with one label.
    Patients,
}

impl Case {
    pub(super) const ALL: [Self; 5] =
        [Self::Calibrated, Self::Slope, Self::Intercept, Self::Overconfident, Self::Patients];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Calibrated => "calibrated",
            Self::Slope => "slope 0.6",
            Self::Intercept => "intercept -1.5",
            Self::Overconfident => "overconfident",
            Self::Patients => "calibrated, 3 images a patient",
        }
    }

    fn chance(self, p: f64) -> f64 {
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let logit = (p / (1.0 - p)).ln();
        match self {
            Self::Calibrated | Self::Patients => p,
            Self::Slope => sigmoid(0.6 * logit),
            Self::Intercept => sigmoid(logit - 1.5),
            Self::Overconfident => 0.05 + 0.9 * p,
        }
    }

    const fn images_per_patient(self) -> usize {
        if matches!(self, Self::Patients) { 3 } else { 1 }
    }
}

pub(super) struct Population {
    /// Ascending probabilities, to draw from by interpolation.
    quantiles: Vec<f64>,
    case: Case,
    points: Vec<f64>,
    /// Sum of chance minus probability over the points before each index.
    gaps: Vec<f64>,
}

pub(super) struct Sample {
    pub(super) probabilities: Vec<f64>,
    pub(super) positive: Vec<bool>,
    pub(super) patients: Vec<usize>,
}

impl Population {
    pub(super) fn new(quantiles: &[f64], case: Case) -> Result<Self> {
        let strictly_between = |p: &f64| *p > 0.0 && *p < 1.0;
        ensure!(
            !quantiles.is_empty() && quantiles.iter().all(strictly_between) && quantiles.is_sorted(),
            "the reference's probabilities must be ascending and strictly between 0 and 1"
        );
        let points: Vec<f64> =
            (0..POINTS).map(|point| quantile(quantiles, (point as f64 + 0.5) / POINTS as f64)).collect();
        let mut gaps = vec![0.0];
        let mut sum = 0.0;
        for p in &points {
            sum += case.chance(*p) - p;
            gaps.push(sum);
        }
        Ok(Self { quantiles: quantiles.to_vec(), case, points, gaps })
    }

    pub(super) fn draw(&self, n: usize, rng: &mut impl Rng) -> Sample {
        let mut sample = Sample { probabilities: Vec::new(), positive: Vec::new(), patients: Vec::new() };
        for image in 0..n {
            let patient = image / self.case.images_per_patient();
            let drawn = if sample.patients.last() == Some(&patient) {
                let positive = sample.positive[image - 1];
                (self.of_class(positive, rng), positive)
            } else {
                let p = self.probability(rng);
                (p, rng.random::<f64>() < self.case.chance(p))
            };
            sample.probabilities.push(drawn.0);
            sample.positive.push(drawn.1);
            sample.patients.push(patient);
        }
        sample
    }

    fn probability(&self, rng: &mut impl Rng) -> f64 {
        quantile(&self.quantiles, rng.random())
    }

    /// A probability of an image of this class: drawn until one is accepted.
    fn of_class(&self, positive: bool, rng: &mut impl Rng) -> f64 {
        loop {
            let p = self.probability(rng);
            let chance = self.case.chance(p);
            if rng.random::<f64>() < if positive { chance } else { 1.0 - chance } {
                return p;
            }
        }
    }

    /// Share and gap of each bin, by the upper edges of all bins but the last.
    pub(super) fn bins(&self, edges: &[f64]) -> Vec<(f64, f64)> {
        let mut before = 0;
        let ends = edges.iter().map(|edge| self.points.partition_point(|p| p <= edge)).chain([POINTS]);
        ends.map(|end| {
            let n = (end - before) as f64;
            let gap = if n > 0.0 { (self.gaps[end] - self.gaps[before]) / n } else { 0.0 };
            before = end;
            (n / POINTS as f64, gap)
        })
        .collect()
    }
}
