//! How the bundle's probabilities relate to the classes: a line on the log odds, with its uncertainty.

use super::estimate::Known;
use super::logistic::{self, Row, cholesky, dot, logit, sigmoid};
use rand::RngExt;

/// How far calibration differs between sites, as standard deviations of intercept and slope of the log odds:
/// a factor of two of the odds, and a fifth. Labels of the site replace this assumption.
const BETWEEN_SITES: [f64; 2] = [std::f64::consts::LN_2, 0.2];

/// `logit(corrected) = intercept + slope * logit(probability)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recalibration {
    coefficients: [f64; 2],
    /// Lower factor of the coefficients' covariance.
    factor: Vec<Vec<f64>>,
    /// Log odds and weights that it was fitted on.
    sample: Vec<(f64, f64)>,
    /// Share of positives that the probabilities assume, where there is no sample.
    base_rate: f64,
    is_local: bool,
}

impl Recalibration {
    /// From the bundle's reference sample; without one, the probabilities as they are.
    pub(super) fn of_bundle(reference: &[Known], base_rate: f64) -> Self {
        Self::fitted(reference, &[], false, base_rate).unwrap_or_else(|| Self {
            coefficients: [0.0, 1.0],
            factor: vec![vec![0.0; 2]; 2],
            sample: Vec::new(),
            base_rate,
            is_local: false,
        })
    }

    /// From labels of the site. `similarity` weighs them by how much they look like the images to estimate.
    pub(super) fn of_site(labels: &[Known], similarity: &[f64], base_rate: f64) -> Option<Self> {
        Self::fitted(labels, similarity, true, base_rate)
    }

    fn fitted(known: &[Known], similarity: &[f64], is_local: bool, base_rate: f64) -> Option<Self> {
        if known.is_empty() {
            return None;
        }
        let weights: Vec<f64> =
            (0..known.len()).map(|i| known[i].weight * similarity.get(i).copied().unwrap_or(1.0)).collect();
        let (sum, squares) = (weights.iter().sum::<f64>(), dot(&weights, &weights));
        // Weights that sum to the number of equally weighted labels with the same variance.
        let scale = sum / squares;
        let rows: Vec<Row> = known
            .iter()
            .zip(&weights)
            .map(|(known, weight)| Row {
                features: vec![1.0, logit(known.scored.probability)],
                positive: known.positive,
                weight: weight * scale,
            })
            .collect();
        let precision = BETWEEN_SITES.map(|deviation| 1.0 / (deviation * deviation));
        let fit = logistic::fit(&rows, &[0.0, 1.0], &precision)?;
        Some(Self {
            coefficients: [fit.coefficients[0], fit.coefficients[1]],
            factor: cholesky(fit.covariance)?,
            sample: rows.iter().map(|row| (row.features[1], row.weight)).collect(),
            base_rate,
            is_local,
        })
    }

    /// Corrected probabilities and the share of positives for which they hold.
    pub(super) fn apply(&self, log_odds: &[f64]) -> (Vec<f64>, f64) {
        self.corrected(log_odds, self.coefficients, [0.0, 0.0])
    }

    /// As [`Self::apply`], with coefficients drawn from their uncertainty.
    pub(super) fn draw(&self, log_odds: &[f64], rng: &mut impl rand::Rng) -> (Vec<f64>, f64) {
        let [first, second] = [normal(rng), normal(rng)];
        let coefficients = [
            self.coefficients[0] + self.factor[0][0] * first,
            self.coefficients[1] + self.factor[1][0] * first + self.factor[1][1] * second,
        ];
        let between =
            if self.is_local { [0.0; 2] } else { BETWEEN_SITES.map(|deviation| deviation * normal(rng)) };
        self.corrected(log_odds, coefficients, between)
    }

    /// A change of the coefficients within the sample changes its share of positives, too. A difference
    /// between sites does not.
    fn corrected(
        &self,
        log_odds: &[f64],
        [intercept, slope]: [f64; 2],
        between: [f64; 2],
    ) -> (Vec<f64>, f64) {
        let weight: f64 = self.sample.iter().map(|(_, weight)| weight).sum();
        let positives: f64 =
            self.sample.iter().map(|(x, weight)| weight * sigmoid(intercept + slope * x)).sum();
        let base_rate = if weight > 0.0 { positives / weight } else { self.base_rate };
        let (intercept, slope) = (intercept + between[0], (slope + between[1]).max(0.05));
        (log_odds.iter().map(|x| sigmoid(intercept + slope * x)).collect(), base_rate.clamp(1e-6, 1.0 - 1e-6))
    }
}

/// A standard normal deviate (Box and Muller 1958).
fn normal(rng: &mut impl rand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
