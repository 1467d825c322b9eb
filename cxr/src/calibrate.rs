//! Logit to probability: affine (Platt) calibration, applied and fitted.

use serde::{Deserialize, Serialize};

/// A calibrated probability of the positive class, from 0 to 1. Only [`AffineCalibration::apply`] builds it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Probability(f64);

impl Probability {
    /// The probability as a number.
    pub const fn value(self) -> f64 {
        self.0
    }
}

/// `p = sigmoid(scale * logit + bias)` (Platt 1999). A class-weighted loss shifts the intercept of the logit,
/// so a temperature alone cannot calibrate it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffineCalibration {
    /// Multiplies the logit. Positive, so that calibration never changes the order of two images.
    pub scale: f64,
    /// Added after scaling.
    pub bias: f64,
}

/// Why a calibration cannot be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// The numbers of logits and labels differ.
    #[error("{logits} logits but {labels} labels")]
    Length { logits: usize, labels: usize },
    /// All labels are of one class.
    #[error("calibration needs both classes, found {positives} positives among {n}")]
    OneClass {
        /// Number of positives.
        positives: usize,
        /// Number of images.
        n: usize,
    },
    /// A logit is NaN or infinite.
    #[error("logit {index} is not finite")]
    NotFinite {
        /// Index of the first such logit.
        index: usize,
    },
    /// The positives do not score higher than the negatives.
    #[error("positives do not score higher than negatives: the fitted scale is not above 0")]
    Inverted,
}

impl AffineCalibration {
    /// Scale 1 and bias 0.
    pub const IDENTITY: Self = Self { scale: 1.0, bias: 0.0 };

    /// The calibrated probability of a finite logit.
    pub fn apply(&self, logit: f64) -> Probability {
        Probability(sigmoid(self.scale * logit + self.bias))
    }

    /// Temperature scaling (Guo et al. 2017): the maximum likelihood scale at bias 0, by golden-section
    /// search on its logarithm.
    pub fn fit_temperature(logits: &[f64], positive: &[bool]) -> Result<Self, CalibrationError> {
        // It makes the checks that are needed here.
        Self::fit(logits, positive)?;
        let loss = |log_scale: f64| -> f64 {
            let scale = log_scale.exp();
            let of = |(z, y): (&f64, &bool)| softplus(scale * z) - if *y { scale * z } else { 0.0 };
            logits.iter().zip(positive).map(of).sum()
        };
        let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = (0.01_f64.ln(), 20.0_f64.ln());
        for _ in 0..100 {
            let (left, right) = (high - golden * (high - low), low + golden * (high - low));
            if loss(left) < loss(right) { high = right } else { low = left }
        }
        Ok(Self { scale: low.midpoint(high).exp(), bias: 0.0 })
    }

    /// Maximum likelihood fit by Newton's method with Platt's smoothed targets `(n+ + 1)/(n+ + 2)` and `1/(n-
    /// + 2)`, which keep the scale finite for separable scores (Platt 1999; Lin, Lin and Weng 2007).
    pub fn fit(logits: &[f64], positive: &[bool]) -> Result<Self, CalibrationError> {
        let (n, n_positive) = (logits.len(), positive.iter().filter(|y| **y).count());
        if n != positive.len() {
            return Err(CalibrationError::Length { logits: n, labels: positive.len() });
        }
        if n_positive == 0 || n_positive == n {
            return Err(CalibrationError::OneClass { positives: n_positive, n });
        }
        if let Some(index) = logits.iter().position(|z| !z.is_finite()) {
            return Err(CalibrationError::NotFinite { index });
        }
        let high = (n_positive as f64 + 1.0) / (n_positive as f64 + 2.0);
        let low = 1.0 / ((n - n_positive) as f64 + 2.0);
        let targets: Vec<f64> = positive.iter().map(|y| if *y { high } else { low }).collect();
        let fitted = newton(logits, &targets);
        if fitted.scale > 0.0 { Ok(fitted) } else { Err(CalibrationError::Inverted) }
    }
}

fn newton(logits: &[f64], targets: &[f64]) -> AffineCalibration {
    let loss = |c: &AffineCalibration| -> f64 {
        logits
            .iter()
            .zip(targets)
            .map(|(z, t)| softplus(c.scale * z + c.bias) - t * (c.scale * z + c.bias))
            .sum()
    };
    let prior = targets.iter().sum::<f64>() / targets.len() as f64;
    let mut at = AffineCalibration { scale: 0.0, bias: (prior / (1.0 - prior)).ln() };
    let mut best = loss(&at);
    for _ in 0..100 {
        // Gradient (ga, gb) and Hessian [haa hab; hab hbb] of the negative log likelihood; the ridge keeps a
        // Hessian of saturated scores invertible.
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
        for (z, t) in logits.iter().zip(targets) {
            let p = sigmoid(at.scale * z + at.bias);
            let (d, w) = (p - t, p * (1.0 - p));
            ga += d * z;
            gb += d;
            haa += w * z * z;
            hab += w * z;
            hbb += w;
        }
        let det = haa * hbb - hab * hab;
        if ga.abs() < 1e-9 && gb.abs() < 1e-9 || det <= 0.0 {
            break;
        }
        let (da, db) = ((hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det);
        let mut step = 1.0;
        let improved = std::iter::repeat_with(|| {
            let next = AffineCalibration { scale: at.scale - step * da, bias: at.bias - step * db };
            step /= 2.0;
            (next, loss(&next))
        })
        .take(40)
        .find(|(_, l)| *l < best);
        let Some((next, l)) = improved else { break };
        (at, best) = (next, l);
    }
    at
}

/// The logistic function `1 / (1 + exp(-x))`, without overflow at either end.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn the_fit_recovers_the_parameters_that_made_the_labels() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(42);
        let truth = AffineCalibration { scale: 0.6, bias: -0.8 };
        let logits: Vec<f64> = (0..20_000).map(|_| rng.random_range(-6.0..6.0)).collect();
        let labels: Vec<bool> =
            logits.iter().map(|z| rng.random::<f64>() < truth.apply(*z).value()).collect();
        let fitted = AffineCalibration::fit(&logits, &labels).unwrap();
        assert!((fitted.scale - 0.6).abs() < 0.02, "{fitted:?}");
        assert!((fitted.bias + 0.8).abs() < 0.05, "{fitted:?}");
    }

    #[test]
    fn separable_scores_give_a_finite_fit_and_nonsense_is_refused() {
        let fitted = AffineCalibration::fit(&[-3.0, -2.0, 2.0, 3.0], &[false, false, true, true]).unwrap();
        assert!(fitted.scale.is_finite() && fitted.scale > 0.0 && fitted.scale < 10.0, "{fitted:?}");
        assert_eq!(AffineCalibration::fit(&[1.0, -1.0], &[false, true]), Err(CalibrationError::Inverted));
        assert_eq!(
            AffineCalibration::fit(&[1.0], &[true]),
            Err(CalibrationError::OneClass { positives: 1, n: 1 })
        );
        let nan = AffineCalibration::fit(&[1.0, f64::NAN], &[true, false]);
        assert_eq!(nan, Err(CalibrationError::NotFinite { index: 1 }));
    }

    #[test]
    fn extreme_logits_stay_probabilities() {
        for z in [-1e9, -800.0, 0.0, 800.0, 1e9] {
            let p = AffineCalibration::IDENTITY.apply(z).value();
            assert!((0.0..=1.0).contains(&p), "{z}: {p}");
        }
    }
}
