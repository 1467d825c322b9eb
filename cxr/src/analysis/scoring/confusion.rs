//! The confusion matrix at one threshold and the ratios computed from it. `roc` and `decide` choose
//! thresholds.

use super::judgeable;
use serde::{Deserialize, Serialize};

/// Numbers of images by truth and call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfusionMatrix {
    /// Positives called positive.
    pub true_positives: u64,
    /// Negatives called positive.
    pub false_positives: u64,
    /// Negatives called negative.
    pub true_negatives: u64,
    /// Positives called negative.
    pub false_negatives: u64,
}

impl ConfusionMatrix {
    /// Counts with `score >= threshold` called positive. A threshold of `+inf` calls nothing positive.
    /// Invalid input (see [`super`]) or a NaN threshold gives no counts, hence no ratios.
    pub fn at(scores: &[f64], positive: &[bool], threshold: f64) -> Self {
        let mut matrix = Self::default();
        if !judgeable(scores, positive) || threshold.is_nan() {
            return matrix;
        }
        for (score, y) in scores.iter().zip(positive) {
            let count = match (*score >= threshold, *y) {
                (true, true) => &mut matrix.true_positives,
                (true, false) => &mut matrix.false_positives,
                (false, false) => &mut matrix.true_negatives,
                (false, true) => &mut matrix.false_negatives,
            };
            *count += 1;
        }
        matrix
    }

    /// Share of the positives called positive (recall): TP / (TP + FN). `None` without positives.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Share of the negatives called negative: TN / (TN + FP). `None` without negatives.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negatives, self.true_negatives + self.false_positives)
    }

    /// Share of correct positive calls (positive predictive value at this base rate): TP / (TP + FP). `None`
    /// without positive calls.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Harmonic mean of precision and sensitivity: 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979). `None`
    /// without positives and positive calls.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }

    /// Share of correct calls: (TP + TN) / n. `None` without images.
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.true_positives + self.true_negatives;
        ratio(right, right + self.false_positives + self.false_negatives)
    }

    /// Mean of sensitivity and specificity: 0.5 for a constant call at every base rate. `None` unless both
    /// classes are present.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(f64::midpoint(self.sensitivity()?, self.specificity()?))
    }

    /// Matthews' correlation coefficient (1975) of truth and call, -1 to 1. `None` if truth or call is
    /// constant.
    pub fn mcc(&self) -> Option<f64> {
        let [tp, fp, tn, fne] =
            [self.true_positives, self.false_positives, self.true_negatives, self.false_negatives]
                .map(|count| count as f64);
        let product = (tp + fp) * (tp + fne) * (tn + fp) * (tn + fne);
        (product > 0.0).then(|| (tp * tn - fp * fne) / product.sqrt())
    }

    /// The same calls with the classes swapped: its precision is the negative predictive value, its
    /// sensitivity the specificity.
    #[must_use]
    pub const fn of_the_negative_class(&self) -> Self {
        Self {
            true_positives: self.true_negatives,
            false_positives: self.false_negatives,
            true_negatives: self.true_positives,
            false_negatives: self.false_positives,
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
