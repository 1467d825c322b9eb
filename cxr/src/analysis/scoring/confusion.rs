//! What one threshold gets right and wrong: the four counts, and the ratios made of them. Choosing the threshold
//! belongs in `roc` and `decide`.

use super::judgeable;
use serde::{Deserialize, Serialize};

/// Counts of images by truth and call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfusionMatrix {
    /// Positive, and called so.
    pub true_positives: u64,
    /// Negative, but called positive.
    pub false_positives: u64,
    /// Negative, and called so.
    pub true_negatives: u64,
    /// Positive, but called negative.
    pub false_negatives: u64,
}

impl ConfusionMatrix {
    /// Counts with `score >= threshold` called positive. A threshold of `+inf` calls nothing positive. Input that
    /// cannot be judged (see [`super`]; a NaN threshold too) gives no counts at all, hence no ratios.
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

    /// Share of the positive calls that are right (positive predictive value at this base rate): TP / (TP + FP).
    /// `None` when nothing is called positive.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Harmonic mean of precision and sensitivity: 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979). `None` when there
    /// is neither a positive nor a positive call.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }

    /// Share of all images called right: (TP + TN) / n. `None` without images.
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.true_positives + self.true_negatives;
        ratio(right, right + self.false_positives + self.false_negatives)
    }

    /// Mean of sensitivity and specificity: what a constant call scores 0.5 in at every base rate. `None` unless both
    /// classes are present.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(f64::midpoint(self.sensitivity()?, self.specificity()?))
    }

    /// Matthews' (1975) correlation between truth and call, -1 to 1. `None` where truth or call is constant.
    pub fn mcc(&self) -> Option<f64> {
        let [tp, fp, tn, fne] =
            [self.true_positives, self.false_positives, self.true_negatives, self.false_negatives]
                .map(|count| count as f64);
        let product = (tp + fp) * (tp + fne) * (tn + fp) * (tn + fne);
        (product > 0.0).then(|| (tp * tn - fp * fne) / product.sqrt())
    }

    /// The same calls with the negative class as the one that is looked for: its precision is the negative predictive
    /// value, its sensitivity the specificity.
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
