//! Figures of a set of images, with 95 % intervals: of the expected calibration error by inverting a test, of
//! the others from resampling the patients.

use crate::data::pixels::Pixels;
use anyhow::{Context, Result};
use cxr::analysis::scoring::bootstrap::interval95;
use cxr::analysis::scoring::calibration_error::ece_interval;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::reliability::brier;
use cxr::analysis::scoring::roc::auc;
use cxr::bundle::{EceKind, FoldEvaluation, Measured};
use std::collections::BTreeMap;

/// Bins of reliability diagrams.
pub const CALIBRATION_BINS: usize = 15;

/// A figure of probabilities and labels; `None` where it is undefined.
pub type Figure<'a> = dyn Fn(&[f64], &[bool]) -> Option<f64> + 'a;

#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Calibrated probabilities, or other scores.
    pub probabilities: &'a [f64],
    pub positive: &'a [bool],
    /// A number for each image's patient.
    pub patients: &'a [usize],
    pub resamples: usize,
    pub seed: u64,
}

impl Sample<'_> {
    pub fn subset<T>(&self, images: &[usize], measure: impl FnOnce(&Sample) -> T) -> T {
        let (probabilities, positive) = pick(images, self.probabilities, self.positive);
        let patients: Vec<usize> = images.iter().map(|i| self.patients[*i]).collect();
        measure(&Sample { probabilities: &probabilities, positive: &positive, patients: &patients, ..*self })
    }

    /// `None` where figure or interval is undefined. `n` is the number of images behind the figure.
    pub fn measured(&self, n: usize, figure: &Figure) -> Option<Measured> {
        let value = figure(self.probabilities, self.positive)?;
        let ci95 = interval95(self.patients, self.resamples, self.seed, |images| {
            let (p, y) = pick(images, self.probabilities, self.positive);
            figure(&p, &y)
        })?;
        Some(Measured { value, ci95, n })
    }

    /// Expected calibration error; `None` for one class only, or fewer than two patients.
    pub fn ece(&self) -> Option<Measured> {
        let found = ece_interval(self.probabilities, self.positive, self.patients)?;
        Some(Measured { value: found.value, ci95: found.ci95, n: self.n() })
    }

    pub fn sensitivity(&self, threshold: f64) -> Option<Measured> {
        self.measured(self.n_positive(), &|p, y| ConfusionMatrix::at(p, y, threshold).sensitivity())
    }

    pub fn specificity(&self, threshold: f64) -> Option<Measured> {
        let n_negative = self.n() - self.n_positive();
        self.measured(n_negative, &|p, y| ConfusionMatrix::at(p, y, threshold).specificity())
    }

    pub const fn n(&self) -> usize {
        self.positive.len()
    }

    pub fn n_positive(&self) -> usize {
        self.positive.iter().filter(|label| **label).count()
    }

    /// The figures that a bundle carries, at an operating point. Each must be defined.
    pub fn fold_evaluation(&self, threshold: f64) -> Result<FoldEvaluation> {
        let named = |name: &str, measured: Option<Measured>| {
            measured.with_context(|| format!("{name} is undefined on these images"))
        };
        let at = |p: &[f64], y: &[bool]| ConfusionMatrix::at(p, y, threshold);
        let confusion = at(self.probabilities, self.positive);
        let n_flagged = (confusion.true_positives + confusion.false_positives) as usize;
        let n = self.n();
        Ok(FoldEvaluation {
            auc: named("AUC", self.measured(n, &auc))?,
            sensitivity: named("sensitivity", self.sensitivity(threshold))?,
            specificity: named("specificity", self.specificity(threshold))?,
            precision: named("precision", self.measured(n_flagged, &|p, y| at(p, y).precision()))?,
            f1: named("F1", self.measured(n, &|p, y| at(p, y).f1()))?,
            accuracy: named("accuracy", self.measured(n, &|p, y| at(p, y).accuracy()))?,
            ece: named("ECE", self.ece())?,
            ece_kind: EceKind::L2,
            brier: named("Brier", self.measured(n, &|p, y| Some(brier(p, y))))?,
        })
    }
}

/// The mean of a value per image; `None` for the images of fewer than two patients.
pub(super) fn mean(values: &[f64], patients: &[usize], (resamples, seed): (usize, u64)) -> Option<Measured> {
    let of = |images: &[usize]| images.iter().map(|i| values[*i]).sum::<f64>() / images.len() as f64;
    let ci95 = interval95(patients, resamples, seed, |images| Some(of(images)))?;
    let all: Vec<usize> = (0..values.len()).collect();
    Some(Measured { value: of(&all), ci95, n: values.len() })
}

pub fn pick(images: &[usize], scores: &[f64], positive: &[bool]) -> (Vec<f64>, Vec<bool>) {
    images.iter().map(|image| (scores[*image], positive[*image])).unzip()
}

/// A number for each image's patient.
pub fn patients(pixels: &Pixels) -> Vec<usize> {
    numbered(pixels.entries.iter().map(|entry| (entry.positive, entry.patient.as_str())))
}

/// Each key's number, from 0 in the order of first appearance.
pub(super) fn numbered<K: Ord>(keys: impl IntoIterator<Item = K>) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let number = |key| {
        let next = numbers.len();
        *numbers.entry(key).or_insert(next)
    };
    keys.into_iter().map(number).collect()
}
