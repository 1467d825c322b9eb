//! Figures of changed images on one fold, with 95 % intervals from resampling the patients.

use crate::markdown::measured;
use crate::measure::sample::pick;
use anyhow::{Context, Result};
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::log_loss::log_loss;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::Measured;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    pub auc: Measured,
    /// Mean negative log likelihood of the calibrated probabilities, natural logarithm.
    pub log_loss: Measured,
    pub sensitivity: Measured,
    pub specificity: Measured,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AUC {}  log loss {:.4}  sensitivity {:.3}  specificity {:.3}",
            measured(&self.auc),
            self.log_loss.value,
            self.sensitivity.value,
            self.specificity.value
        )
    }
}

/// Labels and patients of a fold, to measure any scores of its images.
#[derive(Debug, Clone)]
pub struct Evaluator {
    pub positive: Vec<bool>,
    /// A number for each image's patient.
    pub patients: Vec<usize>,
    pub threshold: f64,
    pub resamples: usize,
    pub seed: u64,
}

impl Evaluator {
    pub fn n(&self, positive: bool) -> usize {
        self.positive.iter().filter(|label| **label == positive).count()
    }

    /// A statistic of images, given by index, with its interval. `n` is the number of images behind it.
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

    /// As [`measure`](Self::measure), for a figure of scores and labels.
    pub fn score(
        &self,
        name: &str,
        n: usize,
        scores: &[f64],
        figure: impl Fn(&[f64], &[bool]) -> Option<f64>,
    ) -> Result<Measured> {
        self.measure(name, n, |images| {
            let (s, y) = pick(images, scores, &self.positive);
            figure(&s, &y)
        })
    }

    pub fn figures(&self, probabilities: &[f64]) -> Result<Figures> {
        let at = |p: &[f64], y: &[bool]| ConfusionMatrix::at(p, y, self.threshold);
        let (n, p) = (self.positive.len(), probabilities);
        Ok(Figures {
            auc: self.score("AUC", n, p, auc)?,
            log_loss: self.score("log loss", n, p, |p, y| Some(log_loss(p, y)))?,
            sensitivity: self.score("sensitivity", self.n(true), p, |p, y| at(p, y).sensitivity())?,
            specificity: self.score("specificity", self.n(false), p, |p, y| at(p, y).specificity())?,
        })
    }

    /// The paired difference `after - before`: each resample draws the same patients on both sides.
    pub fn change(
        &self,
        name: &str,
        before: &[f64],
        after: &[f64],
        figure: impl Fn(&[f64], &[bool]) -> Option<f64>,
    ) -> Result<Measured> {
        self.mean_change(name, &[(before, after)], figure)
    }

    /// The mean of [`change`](Self::change) over several pairs of scores.
    pub fn mean_change(
        &self,
        name: &str,
        pairs: &[(&[f64], &[f64])],
        figure: impl Fn(&[f64], &[bool]) -> Option<f64>,
    ) -> Result<Measured> {
        self.measure(name, self.positive.len(), |images| {
            let changes = pairs.iter().map(|(before, after)| {
                let (old, y) = pick(images, before, &self.positive);
                let (new, _) = pick(images, after, &self.positive);
                Some(figure(&new, &y)? - figure(&old, &y)?)
            });
            Some(changes.sum::<Option<f64>>()? / pairs.len() as f64)
        })
    }
}
