//! One condition: figures of the select fold when something was done to its images.

use crate::calibrate::Calibrated;
use anyhow::{Context, Result};
use cxr::bundle::Measured;
use cxr::scoring::bootstrap::interval95;
use cxr::scoring::confusion::ConfusionMatrix;
use cxr::scoring::roc::auc;
use serde::{Deserialize, Serialize};

/// Labels, patients and operating point, the same for every condition.
#[derive(Debug)]
pub struct Ground<'a> {
    /// Whether each image is a pneumonia.
    pub positive: Vec<bool>,
    /// A number for each image's patient.
    pub patients: Vec<usize>,
    /// Probability and operating point.
    pub calibrated: &'a Calibrated,
    /// Scores of the images as they are.
    pub clean: Vec<f64>,
    /// Resamples of the patients.
    pub resamples: usize,
    /// Their seed.
    pub seed: u64,
}

/// What became of the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Area under the ROC curve.
    pub auc: Measured,
    /// Mean negative log likelihood of the calibrated probability.
    pub log_loss: f64,
    /// At the operating point.
    pub sensitivity: f64,
    /// At the operating point.
    pub specificity: f64,
    /// Mean change of the logit, normal images.
    pub shift_negative: f64,
    /// Mean change of the logit, pneumonias.
    pub shift_positive: f64,
    /// Verdicts that differ from those on the clean images.
    pub flips: usize,
    /// Change of the area under the curve against the clean images, over the same resamples.
    pub auc_change: Measured,
}

impl Ground<'_> {
    /// Judges the logits of the images under a condition.
    ///
    /// # Errors
    /// When a figure is undefined.
    pub fn judge(&self, logits: &[f64]) -> Result<Condition> {
        let threshold = self.calibrated.policy.threshold;
        let probabilities = self.calibrated.probabilities(logits);
        let clean = self.calibrated.probabilities(&self.clean);
        let confusion = ConfusionMatrix::at(&probabilities, &self.positive, threshold);
        let shift = |class: bool| {
            let changes: Vec<f64> = (0..logits.len())
                .filter(|i| self.positive[*i] == class)
                .map(|i| logits[i] - self.clean[i])
                .collect();
            changes.iter().sum::<f64>() / changes.len().max(1) as f64
        };
        let flips =
            clean.iter().zip(&probabilities).filter(|(a, b)| (**a >= threshold) != (**b >= threshold));
        Ok(Condition {
            auc: self.measure(|images| area(logits, &self.positive, images))?,
            log_loss: log_loss(&probabilities, &self.positive),
            sensitivity: confusion.sensitivity().context("no positives")?,
            specificity: confusion.specificity().context("no negatives")?,
            shift_negative: shift(false),
            shift_positive: shift(true),
            flips: flips.count(),
            auc_change: self.measure(|images| {
                Some(area(logits, &self.positive, images)? - area(&self.clean, &self.positive, images)?)
            })?,
        })
    }

    fn measure(&self, figure: impl Fn(&[usize]) -> Option<f64>) -> Result<Measured> {
        let all: Vec<usize> = (0..self.positive.len()).collect();
        let value = figure(&all).context("the fold holds one class")?;
        let ci95 = interval95(&self.patients, self.resamples, self.seed, figure).context("no interval")?;
        Ok(Measured { value, ci95, n: all.len() })
    }
}

fn area(logits: &[f64], positive: &[bool], images: &[usize]) -> Option<f64> {
    let scores: Vec<f64> = images.iter().map(|i| logits[*i]).collect();
    let labels: Vec<bool> = images.iter().map(|i| positive[*i]).collect();
    auc(&scores, &labels)
}

/// Mean negative log likelihood; probabilities are kept off 0 and 1 by 1e-7.
pub fn log_loss(probabilities: &[f64], positive: &[bool]) -> f64 {
    let loss = |(p, y): (&f64, &bool)| {
        let p = p.clamp(1e-7, 1.0 - 1e-7);
        -(if *y { p } else { 1.0 - p }).ln()
    };
    probabilities.iter().zip(positive).map(loss).sum::<f64>() / probabilities.len() as f64
}
