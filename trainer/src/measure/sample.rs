//! One figure with its interval: probabilities and labels of a set of images, whose patients are resampled.

use crate::data::pixels::Pixels;
use anyhow::{Context, Result};
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::reliability::{bins_equal_width, brier, ece};
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::{FoldEvaluation, Measured};
use std::collections::BTreeMap;

/// Bins of every reliability diagram.
pub const CALIBRATION_BINS: usize = 15;

/// A figure of probabilities and labels; none where it is undefined.
pub type Figure<'a> = dyn Fn(&[f64], &[bool]) -> Option<f64> + 'a;

/// What figures are measured on.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Calibrated probabilities, or other scores.
    pub probabilities: &'a [f64],
    /// Whether each image is positive.
    pub positive: &'a [bool],
    /// A number for each image's patient.
    pub patients: &'a [usize],
    /// Resamples of the patients.
    pub resamples: usize,
    /// Their seed.
    pub seed: u64,
}

/// Some images of a sample.
#[derive(Debug, Clone)]
pub struct Subset {
    probabilities: Vec<f64>,
    positive: Vec<bool>,
    patients: Vec<usize>,
}

impl Subset {
    /// The subset as a sample, resampled as `whole` is.
    pub fn as_sample<'a>(&'a self, whole: &Sample) -> Sample<'a> {
        Sample {
            probabilities: &self.probabilities,
            positive: &self.positive,
            patients: &self.patients,
            resamples: whole.resamples,
            seed: whole.seed,
        }
    }
}

impl Sample<'_> {
    /// The images at these positions.
    pub fn subset(&self, positions: &[usize]) -> Subset {
        Subset {
            probabilities: positions.iter().map(|i| self.probabilities[*i]).collect(),
            positive: positions.iter().map(|i| self.positive[*i]).collect(),
            patients: positions.iter().map(|i| self.patients[*i]).collect(),
        }
    }

    /// A figure with its interval; none where either is undefined. `n` is the number of images behind the figure.
    pub fn measured(&self, n: usize, figure: &Figure) -> Option<Measured> {
        let value = figure(self.probabilities, self.positive)?;
        let ci95 = interval95(self.patients, self.resamples, self.seed, |images| {
            let p: Vec<f64> = images.iter().map(|i| self.probabilities[*i]).collect();
            let y: Vec<bool> = images.iter().map(|i| self.positive[*i]).collect();
            figure(&p, &y)
        })?;
        Some(Measured { value, ci95, n })
    }

    /// Images.
    pub const fn len(&self) -> usize {
        self.positive.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.positive.is_empty()
    }

    /// Positives.
    pub fn n_positive(&self) -> usize {
        self.positive.iter().filter(|label| **label).count()
    }

    /// The figures that a bundle carries, at an operating point.
    ///
    /// # Errors
    /// Names the figure that is undefined.
    pub fn fold_evaluation(&self, threshold: f64, n_bins: usize) -> Result<FoldEvaluation> {
        let measured = |name: &str, n: usize, figure: &Figure| {
            self.measured(n, figure).with_context(|| format!("{name} is undefined on these images"))
        };
        let at = |p: &[f64], y: &[bool]| ConfusionMatrix::at(p, y, threshold);
        let confusion = at(self.probabilities, self.positive);
        let n_flagged = (confusion.true_positives + confusion.false_positives) as usize;
        let (n, n_positive) = (self.len(), self.n_positive());
        Ok(FoldEvaluation {
            auc: measured("AUC", n, &auc)?,
            sensitivity: measured("sensitivity", n_positive, &|p, y| at(p, y).sensitivity())?,
            specificity: measured("specificity", n - n_positive, &|p, y| at(p, y).specificity())?,
            precision: measured("precision", n_flagged, &|p, y| at(p, y).precision())?,
            f1: measured("F1", n, &|p, y| at(p, y).f1())?,
            accuracy: measured("accuracy", n, &|p, y| at(p, y).accuracy())?,
            ece: measured("ECE", n, &|p, y| Some(ece(&bins_equal_width(p, y, n_bins))))?,
            brier: measured("Brier", n, &|p, y| Some(brier(p, y)))?,
        })
    }
}

/// A number for every patient, by image.
pub fn patients(pixels: &Pixels) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let patients = pixels.entries.iter().map(|entry| (entry.positive, entry.patient.as_str()));
    patients
        .map(|patient| {
            let next = numbers.len();
            *numbers.entry(patient).or_insert(next)
        })
        .collect()
}
