//! The figures of every measurement of the suite, with intervals from resampling patients.

use anyhow::{Context, Result};
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::log_loss::log_loss;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How well scores part the classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Area under the receiver operating characteristic.
    pub auc: Measured,
    /// Mean negative log likelihood of the calibrated probabilities, natural logarithm.
    pub log_loss: Measured,
    /// At the operating point.
    pub sensitivity: Measured,
    /// At the operating point.
    pub specificity: Measured,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.auc.ci95;
        write!(
            f,
            "AUC {:.4} [{low:.4}, {high:.4}]  log loss {:.4}  sensitivity {:.3}  specificity {:.3}",
            self.auc.value, self.log_loss.value, self.sensitivity.value, self.specificity.value
        )
    }
}

/// Labels and patients of a fold, and how intervals around its figures are drawn.
#[derive(Debug, Clone)]
pub struct Ruler {
    /// Classes by image.
    pub positive: Vec<bool>,
    /// A number for every patient, by image.
    pub patients: Vec<usize>,
    /// Operating point on the probability.
    pub threshold: f64,
    /// Resamples behind every interval.
    pub resamples: usize,
    /// Seed of the resamples.
    pub seed: u64,
}

impl Ruler {
    /// A statistic of images by their indices, on all `n` images and with its interval.
    ///
    /// # Errors
    /// When it is undefined.
    pub fn measure(
        &self,
        name: &str,
        n: usize,
        statistic: impl Fn(&[usize]) -> Option<f64>,
    ) -> Result<Measured> {
        let all: Vec<usize> = (0..self.positive.len()).collect();
        let value = statistic(&all)
            .filter(|value| value.is_finite())
            .with_context(|| format!("{name} is undefined on this fold"))?;
        let ci95 = interval95(&self.patients, self.resamples, self.seed, statistic)
            .with_context(|| format!("{name} has no interval on this fold"))?;
        Ok(Measured { value, ci95, n })
    }

    /// AUC, log loss, sensitivity and specificity of probabilities.
    ///
    /// # Errors
    /// When the fold holds one class.
    pub fn figures(&self, probabilities: &[f64]) -> Result<Figures> {
        let n = self.positive.len();
        let n_positive = self.positive.iter().filter(|label| **label).count();
        let of = |images: &[usize]| pick(images, probabilities, &self.positive);
        let at = |images: &[usize]| {
            let (p, y) = of(images);
            ConfusionMatrix::at(&p, &y, self.threshold)
        };
        Ok(Figures {
            auc: self.measure("AUC", n, |images| {
                let (p, y) = of(images);
                auc(&p, &y)
            })?,
            log_loss: self.measure("log loss", n, |images| {
                let (p, y) = of(images);
                Some(log_loss(&p, &y))
            })?,
            sensitivity: self.measure("sensitivity", n_positive, |images| at(images).sensitivity())?,
            specificity: self.measure("specificity", n - n_positive, |images| at(images).specificity())?,
        })
    }

    /// The difference `after - before` of a statistic of scores and labels, paired: each resample draws the same patients
    /// on both sides.
    ///
    /// # Errors
    /// When it is undefined.
    pub fn change(
        &self,
        name: &str,
        before: &[f64],
        after: &[f64],
        statistic: impl Fn(&[f64], &[bool]) -> Option<f64>,
    ) -> Result<Measured> {
        self.measure(name, self.positive.len(), |images| {
            let (old, y) = pick(images, before, &self.positive);
            let (new, _) = pick(images, after, &self.positive);
            Some(statistic(&new, &y)? - statistic(&old, &y)?)
        })
    }
}

/// Scores and labels of the images drawn.
pub fn pick(images: &[usize], scores: &[f64], positive: &[bool]) -> (Vec<f64>, Vec<bool>) {
    images.iter().map(|image| (scores[*image], positive[*image])).unzip()
}
