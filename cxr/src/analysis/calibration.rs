//! Comparison of calibration methods by cross-validation over patients. A calibration looks better than it is
//! on the images that it was fitted to.

pub mod isotonic;

use crate::calibrate::{AffineCalibration, CalibrationError, sigmoid};
use isotonic::IsotonicCalibration;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A method that turns logits into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The network's own `sigmoid(logit)`.
    None,
    /// Temperature scaling (Guo et al. 2017).
    Temperature,
    /// Scale and bias (Platt 1999): the method that a bundle uses.
    Affine,
    /// A non-decreasing step function (Zadrozny and Elkan 2002).
    Isotonic,
}

impl Method {
    /// All methods, by number of parameters.
    pub const ALL: [Self; 4] = [Self::None, Self::Temperature, Self::Affine, Self::Isotonic];

    /// Name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Temperature => "temperature",
            Self::Affine => "affine",
            Self::Isotonic => "isotonic",
        }
    }

    /// Fits the method to logits and labels.
    pub fn fit(self, logits: &[f64], positive: &[bool]) -> Result<Fitted, CalibrationError> {
        Ok(match self {
            Self::None => Fitted::Affine(AffineCalibration::IDENTITY),
            Self::Temperature => Fitted::Affine(AffineCalibration::fit_temperature(logits, positive)?),
            Self::Affine => Fitted::Affine(AffineCalibration::fit(logits, positive)?),
            Self::Isotonic => {
                let fitted = IsotonicCalibration::fit(logits, positive);
                Fitted::Isotonic(fitted.ok_or_else(|| unfit(logits, positive))?)
            }
        })
    }
}
#[derive(Debug, Clone, PartialEq)]
pub enum Fitted {
    /// Fit of [`Method::None`], [`Method::Temperature`] or [`Method::Affine`].
    Affine(AffineCalibration),
    /// Fit of [`Method::Isotonic`].
    Isotonic(IsotonicCalibration),
}

impl Fitted {
    /// The probability of a finite logit.
    pub fn apply(&self, logit: f64) -> f64 {
        match self {
            Self::Affine(affine) => sigmoid(affine.scale * logit + affine.bias),
            Self::Isotonic(isotonic) => isotonic.apply(logit),
        }
    }
}

/// The reason why [`IsotonicCalibration::fit`] returned `None`.
fn unfit(logits: &[f64], positive: &[bool]) -> CalibrationError {
    match logits.iter().position(|logit| !logit.is_finite()) {
        Some(index) => CalibrationError::NotFinite { index },
        None => CalibrationError::Length { logits: logits.len(), labels: positive.len() },
    }
}

/// Assigns patients to `n_parts` parts of nearly equal size, stratified by class, and returns the part of
/// every image. A patient with images of both classes counts to the class of the first.
pub fn grouped_parts(groups: &[usize], positive: &[bool], n_parts: usize, seed: u64) -> Vec<usize> {
    let mut class_of: BTreeMap<usize, bool> = BTreeMap::new();
    for (group, class) in groups.iter().zip(positive) {
        class_of.entry(*group).or_insert(*class);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut part_of: BTreeMap<usize, usize> = BTreeMap::new();
    for class in [false, true] {
        let members = class_of.iter().filter(|(_, of)| **of == class).map(|(group, _)| *group);
        let mut members: Vec<usize> = members.collect();
        members.shuffle(&mut rng);
        part_of.extend(members.into_iter().enumerate().map(|(i, group)| (group, i % n_parts.max(1))));
    }
    groups.iter().map(|group| part_of[group]).collect()
}

/// Out-of-part probability of every image: fitted on the patients of the other parts (see [`grouped_parts`]).
/// Fails if the images outside a part do not allow a fit.
pub fn cross_validated(
    method: Method,
    logits: &[f64],
    positive: &[bool],
    parts: &[usize],
) -> Result<Vec<f64>, CalibrationError> {
    let mut probabilities = vec![f64::NAN; logits.len()];
    let n_parts = parts.iter().max().map_or(0, |last| last + 1);
    for part in 0..n_parts {
        let outside = |i: &usize| parts[*i] != part;
        let (z, y): (Vec<f64>, Vec<bool>) =
            (0..logits.len()).filter(outside).map(|i| (logits[i], positive[i])).unzip();
        let fitted = method.fit(&z, &y)?;
        for i in (0..logits.len()).filter(|i| parts[*i] == part) {
            probabilities[i] = fitted.apply(logits[i]);
        }
    }
    Ok(probabilities)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::scoring::reliability::log_loss;
    use rand::RngExt;

    #[test]
    fn patients_stay_together_and_classes_are_spread() {
        let groups: Vec<usize> = (0..200).map(|i| i / 2).collect();
        let positive: Vec<bool> = groups.iter().map(|group| group % 4 == 0).collect();
        let parts = grouped_parts(&groups, &positive, 5, 42);
        assert_eq!(parts, grouped_parts(&groups, &positive, 5, 42));
        assert!(parts.chunks(2).all(|pair| pair[0] == pair[1]));
        for part in 0..5 {
            let n = |class: bool| (0..200).filter(|i| parts[*i] == part && positive[*i] == class).count();
            assert_eq!((n(false), n(true)), (30, 10));
        }
    }

    #[test]
    fn what_has_the_right_form_wins_and_no_image_judges_its_own_fit() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let logits: Vec<f64> = (0..4000).map(|_| rng.random_range(-5.0..5.0)).collect();
        let positive: Vec<bool> =
            logits.iter().map(|z| rng.random::<f64>() < sigmoid(0.7 * z - 1.5)).collect();
        let groups: Vec<usize> = (0..4000).map(|i| i / 3).collect();
        let parts = grouped_parts(&groups, &positive, 5, 1);
        let loss =
            |method| log_loss(&cross_validated(method, &logits, &positive, &parts).unwrap(), &positive);
        let [none, temperature, affine, isotonic] = Method::ALL.map(loss);
        assert!(affine < temperature && temperature < none, "{none} {temperature} {affine}");
        assert!(affine < isotonic, "{affine} {isotonic}");
    }
}
