//! Probability to decision: the operating point and the rules that ask for a human.

use crate::calibrate::Probability;
use crate::metadata::{AcquisitionMetadata, Modality, View};
use serde::{Deserialize, Serialize};

/// How a probability becomes a decision; travels in the bundle, one per variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionPolicy {
    /// Operating point: positive from this calibrated probability on.
    pub threshold: f64,
    /// How the threshold was chosen.
    pub chosen: OperatingPoint,
    /// Probabilities in `[low, high)` are close enough to the threshold that a radiologist decides.
    pub review_band: ReviewBand,
    /// Out-of-distribution scores above this ask for review.
    pub ood_threshold: f64,
}

/// Where an operating point comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Target sensitivity.
    pub target_sensitivity: f64,
    /// The fold it was chosen on.
    pub fold: String,
    /// Sensitivity reached on that fold.
    pub sensitivity: f64,
    /// Specificity reached on that fold.
    pub specificity: f64,
    /// Images in that fold.
    pub n: usize,
}

/// The band of probabilities in which a human decides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewBand {
    /// Lower end, included.
    pub low: f64,
    /// Upper end, excluded.
    pub high: f64,
}

/// Who and what the model was made for. Absent limits accept everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntendedUse {
    /// One sentence for people.
    pub statement: String,
    /// Youngest and oldest age in years.
    pub age_years: Option<[f32; 2]>,
    /// Projections.
    pub views: Vec<View>,
    /// Modalities.
    pub modalities: Vec<Modality>,
}

impl IntendedUse {
    /// Whether what is stated of an acquisition contradicts the intended use; what is not stated does not.
    pub fn excludes(&self, metadata: &AcquisitionMetadata) -> bool {
        let age = matches!((self.age_years, metadata.age_years), (Some([low, high]), Some(age)) if age < low || age > high);
        let view = metadata.view.is_some_and(|v| !self.views.is_empty() && !self.views.contains(&v));
        let modality =
            metadata.modality.is_some_and(|m| !self.modalities.is_empty() && !self.modalities.contains(&m));
        age || view || modality
    }
}

/// What follows from the operating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At or above the threshold.
    Positive,
    /// Below the threshold.
    Negative,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 2] = [Self::Positive, Self::Negative];

    /// The code used in rows and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }
}

/// Why a decision is what it is: the first rule that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionReason {
    /// What is stated of the acquisition contradicts the intended use.
    OutsideIntendedUse,
    /// The embedding is unlike the training data.
    OutOfDistribution,
    /// The probability lies in the review band.
    NearThreshold,
    /// At or above the threshold: a radiologist confirms every positive.
    AboveThreshold,
    /// Clearly below the threshold.
    BelowThreshold,
}

impl DecisionReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::OutsideIntendedUse,
        Self::OutOfDistribution,
        Self::NearThreshold,
        Self::AboveThreshold,
        Self::BelowThreshold,
    ];

    /// The code used in answers, rows and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OutsideIntendedUse => "outside_intended_use",
            Self::OutOfDistribution => "out_of_distribution",
            Self::NearThreshold => "near_threshold",
            Self::AboveThreshold => "above_threshold",
            Self::BelowThreshold => "below_threshold",
        }
    }
}

/// The outcome for one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Decision {
    /// Positive or negative.
    pub verdict: Verdict,
    /// Probability of the class that the verdict names.
    pub confidence: f64,
    /// Whether a radiologist must look before anyone acts.
    pub review_required: bool,
    /// The rule that applied.
    pub reason: DecisionReason,
}

impl DecisionPolicy {
    /// Applies the policy.
    pub fn decide(
        &self,
        probability: Probability,
        ood_score: f64,
        intended: &IntendedUse,
        metadata: &AcquisitionMetadata,
    ) -> Decision {
        let p = probability.value();
        let verdict = if p >= self.threshold { Verdict::Positive } else { Verdict::Negative };
        let reason = if intended.excludes(metadata) {
            DecisionReason::OutsideIntendedUse
        } else if ood_score.is_nan() || ood_score > self.ood_threshold {
            DecisionReason::OutOfDistribution
        } else if (self.review_band.low..self.review_band.high).contains(&p) {
            DecisionReason::NearThreshold
        } else if verdict == Verdict::Positive {
            DecisionReason::AboveThreshold
        } else {
            DecisionReason::BelowThreshold
        };
        let confidence = if verdict == Verdict::Positive { p } else { 1.0 - p };
        Decision { verdict, confidence, review_required: reason != DecisionReason::BelowThreshold, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::AffineCalibration;

    #[test]
    fn the_lists_of_codes_are_complete() {
        let verdict = |verdict| match verdict {
            Verdict::Positive => 0,
            Verdict::Negative => 1,
        };
        let reason = |reason| match reason {
            DecisionReason::OutsideIntendedUse => 0,
            DecisionReason::OutOfDistribution => 1,
            DecisionReason::NearThreshold => 2,
            DecisionReason::AboveThreshold => 3,
            DecisionReason::BelowThreshold => 4,
        };
        assert!(Verdict::ALL.into_iter().map(verdict).eq(0..2));
        assert!(DecisionReason::ALL.into_iter().map(reason).eq(0..5));
    }

    fn policy() -> DecisionPolicy {
        DecisionPolicy {
            threshold: 0.4,
            chosen: OperatingPoint {
                target_sensitivity: 0.95,
                fold: "calibrate".into(),
                sensitivity: 0.95,
                specificity: 0.9,
                n: 500,
            },
            review_band: ReviewBand { low: 0.3, high: 0.5 },
            ood_threshold: 3.0,
        }
    }

    fn intended() -> IntendedUse {
        IntendedUse {
            statement: "children".into(),
            age_years: Some([0.0, 18.0]),
            views: vec![View::Pa, View::Ap],
            modalities: vec![],
        }
    }

    fn decide(p: f64, ood: f64, age: Option<f32>) -> Decision {
        let probability = AffineCalibration::IDENTITY.apply((p / (1.0 - p)).ln());
        let metadata = AcquisitionMetadata { age_years: age, ..Default::default() };
        policy().decide(probability, ood, &intended(), &metadata)
    }

    #[test]
    fn the_first_rule_that_applies_gives_the_reason() {
        let cases = [
            (0.9, 1.0, Some(7.0), Verdict::Positive, DecisionReason::AboveThreshold, true),
            (0.1, 1.0, None, Verdict::Negative, DecisionReason::BelowThreshold, false),
            (0.35, 1.0, None, Verdict::Negative, DecisionReason::NearThreshold, true),
            (0.45, 1.0, None, Verdict::Positive, DecisionReason::NearThreshold, true),
            (0.1, 3.5, None, Verdict::Negative, DecisionReason::OutOfDistribution, true),
            (0.1, f64::NAN, None, Verdict::Negative, DecisionReason::OutOfDistribution, true),
            (0.1, 3.5, Some(60.0), Verdict::Negative, DecisionReason::OutsideIntendedUse, true),
        ];
        for (p, ood, age, verdict, reason, review) in cases {
            let d = decide(p, ood, age);
            assert_eq!(
                (d.verdict, d.reason, d.review_required),
                (verdict, reason, review),
                "{p} {ood} {age:?}"
            );
            assert!(d.confidence > 0.3);
        }
    }
}
