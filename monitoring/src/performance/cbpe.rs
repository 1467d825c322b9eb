//! Confidence-based performance estimation: the confusion matrix that calibrated probabilities promise.

use super::Scored;
use super::logistic::logit;
use super::recalibration::Recalibration;
use crate::snapshot::Figure;
use cxr::analysis::prior_shift;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Draws for an interval.
const DRAWS: usize = 400;

/// Figures in the order of [`Expected::figures`].
pub(super) const FIGURES: [&str; 5] = ["sensitivity", "specificity", "accuracy", "ppv", "npv"];

/// Expected numbers of images, by answer and class.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) true_positive: f64,
    pub(super) false_positive: f64,
    pub(super) true_negative: f64,
    pub(super) false_negative: f64,
}

impl Expected {
    pub(super) fn add(&mut self, is_flagged: bool, positive: f64, negative: f64) {
        if is_flagged {
            self.true_positive += positive;
            self.false_positive += negative;
        } else {
            self.false_negative += positive;
            self.true_negative += negative;
        }
    }

    pub(super) fn positives(&self) -> f64 {
        self.true_positive + self.false_negative
    }

    pub(super) fn negatives(&self) -> f64 {
        self.true_negative + self.false_positive
    }

    /// NaN where there are no images.
    pub(super) fn figures(&self) -> [f64; FIGURES.len()] {
        let right = self.true_positive + self.true_negative;
        [
            self.true_positive / self.positives(),
            self.true_negative / self.negatives(),
            right / (self.positives() + self.negatives()),
            self.true_positive / (self.true_positive + self.false_positive),
            self.true_negative / (self.true_negative + self.false_negative),
        ]
    }
}

/// Corrects the probabilities to the share of positives that expectation maximisation finds in them.
fn at_own_prior(mut probabilities: Vec<f64>, base_rate: f64) -> Vec<f64> {
    if let Some(prior) = prior_shift::estimate_prior(&probabilities, base_rate) {
        for p in &mut probabilities {
            *p = prior_shift::correct(*p, base_rate, prior);
        }
    }
    probabilities
}

/// Expected confusion matrix of the images and the corrected probabilities behind it.
pub(super) fn expected(images: &[Scored], recalibration: &Recalibration) -> (Expected, Vec<f64>) {
    let (corrected, base_rate) = recalibration.apply(&log_odds(images));
    let corrected = at_own_prior(corrected, base_rate);
    let mut expected = Expected::default();
    for (image, p) in images.iter().zip(&corrected) {
        expected.add(image.is_flagged(), *p, 1.0 - p);
    }
    (expected, corrected)
}

fn log_odds(images: &[Scored]) -> Vec<f64> {
    images.iter().map(|image| logit(image.probability)).collect()
}

/// 95 % intervals of the figures, in their order. Each draw takes other coefficients of the calibration,
/// other patient-days and other classes of their images. The images of one patient-day share their luck,
/// which is the strongest dependence there can be.
pub(super) fn intervals(images: &[Scored], recalibration: &Recalibration) -> [[f64; 2]; FIGURES.len()] {
    let days = by_patient_day(images);
    let log_odds = log_odds(images);
    // The same images give the same interval on every replica.
    let mut rng = ChaCha8Rng::seed_from_u64(images.len() as u64);
    let mut draws: [Vec<f64>; FIGURES.len()] = Default::default();
    for _ in 0..DRAWS {
        let (corrected, base_rate) = recalibration.draw(&log_odds, &mut rng);
        let corrected = at_own_prior(corrected, base_rate);
        let mut drawn = Expected::default();
        for _ in 0..days.len() {
            let day = &days[rng.random_range(0..days.len())];
            let luck: f64 = rng.random();
            for image in day {
                let positive = f64::from(u8::from(luck < corrected[*image]));
                drawn.add(images[*image].is_flagged(), positive, 1.0 - positive);
            }
        }
        for (draws, figure) in draws.iter_mut().zip(drawn.figures()) {
            if !figure.is_nan() {
                draws.push(figure);
            }
        }
    }
    draws.map(|mut draws| {
        draws.sort_by(f64::total_cmp);
        let at = |share: f64| draws.get((share * draws.len() as f64) as usize).copied();
        [at(0.025).unwrap_or(0.0), at(0.975).unwrap_or(1.0)]
    })
}

/// Positions of the images of each patient-day.
fn by_patient_day(images: &[Scored]) -> Vec<Vec<usize>> {
    let mut days: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (i, image) in images.iter().enumerate() {
        days.entry(image.patient_day).or_default().push(i);
    }
    days.into_values().collect()
}

/// A figure around its value: a draw's median may differ from it.
pub(super) fn figure(value: f64, [low, high]: [f64; 2], n: u64) -> Option<Figure> {
    let is_figure = [value, low, high].iter().all(|x| x.is_finite());
    is_figure.then(|| Figure { value, low: low.min(value), high: high.max(value), n })
}
