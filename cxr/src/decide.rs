//! Probability to decision: the operating point and the rules that require review.

use crate::calibrate::Probability;
use crate::intended_use::Suitability;
use serde::{Deserialize, Serialize};

/// Decision rule of a variant, stored in the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionPolicy {
    /// Operating point: a calibrated probability is positive from here on.
    pub threshold: f64,
    /// Target and fold that the threshold was chosen for.
    pub chosen: OperatingPoint,
    /// Probabilities in `[low, high)` require review.
    pub review_band: ReviewBand,
    /// Out-of-distribution scores above this refer the image.
    pub ood_threshold: f64,
}

/// How an operating point was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Target sensitivity.
    pub target_sensitivity: f64,
    /// Fold that it was chosen on.
    pub fold: String,
    /// Sensitivity on that fold.
    pub sensitivity: f64,
    /// Specificity on that fold.
    pub specificity: f64,
    /// Number of images in that fold.
    pub n: usize,
}

/// Range of probabilities around the threshold that require review.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewBand {
    /// Lower end, inclusive.
    pub low: f64,
    /// Upper end, exclusive.
    pub high: f64,
}

/// What the answer says about the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// At or above the threshold.
    Positive,
    /// Below the threshold.
    Negative,
    /// The model does not apply to the image, or is out of service: the answer has no class and no
    /// probability.
    Refer,
}

impl DecisionKind {
    pub const ALL: [Self; 3] = [Self::Positive, Self::Negative, Self::Refer];

    /// Code in audit rows and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Refer => "refer",
        }
    }

    /// Whether the answer contains a class.
    pub const fn names_a_class(self) -> bool {
        !matches!(self, Self::Refer)
    }
}

/// The first rule that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionReason {
    /// An operator has put the model out of service: every image is referred.
    OutOfService,
    /// The image is known to be outside the intended use: referred.
    OutsideIntendedUse,
    /// The embedding is unlike the training data: referred.
    OutOfDistribution,
    /// Neither request, file nor site states the age or view, so the intended use is unknown. Checked before
    /// the probability, because it makes the probability itself doubtful.
    IntendedUseUnknown,
    /// The probability lies in the review band.
    NearThreshold,
    /// At or above the threshold: a radiologist confirms every positive.
    AboveThreshold,
    /// Clearly below the threshold.
    BelowThreshold,
}

impl DecisionReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::OutOfService,
        Self::OutsideIntendedUse,
        Self::OutOfDistribution,
        Self::IntendedUseUnknown,
        Self::NearThreshold,
        Self::AboveThreshold,
        Self::BelowThreshold,
    ];

    /// Code in answers, audit rows and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OutOfService => "out_of_service",
            Self::OutsideIntendedUse => "outside_intended_use",
            Self::OutOfDistribution => "out_of_distribution",
            Self::IntendedUseUnknown => "intended_use_unknown",
            Self::NearThreshold => "near_threshold",
            Self::AboveThreshold => "above_threshold",
            Self::BelowThreshold => "below_threshold",
        }
    }
}

/// Decision on one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Decision {
    /// What the answer says about the image.
    pub kind: DecisionKind,
    /// Probability of the class on the image's side of the threshold. Audit rows always hold it; an answer
    /// only if the kind names a class.
    pub confidence: f64,
    /// Whether a radiologist must look at the image before anyone acts.
    pub review_required: bool,
    /// The rule that applied.
    pub reason: DecisionReason,
}

impl Decision {
    /// The decision while the model is out of service. The confidence stays, for the audit row.
    #[must_use]
    pub const fn out_of_service(self) -> Self {
        Self {
            kind: DecisionKind::Refer,
            review_required: true,
            reason: DecisionReason::OutOfService,
            ..self
        }
    }
}

impl DecisionPolicy {
    /// Positive or negative by the threshold alone; never [`DecisionKind::Refer`].
    pub fn at_threshold(&self, probability: Probability) -> DecisionKind {
        if probability.value() >= self.threshold { DecisionKind::Positive } else { DecisionKind::Negative }
    }

    /// Decides from the probability, the out-of-distribution score and the intended use. A NaN score counts
    /// as out of distribution.
    pub fn decide(&self, probability: Probability, ood_score: f64, suitability: Suitability) -> Decision {
        let p = probability.value();
        let side = self.at_threshold(probability);
        let reason = if suitability == Suitability::Outside {
            DecisionReason::OutsideIntendedUse
        } else if ood_score.is_nan() || ood_score > self.ood_threshold {
            DecisionReason::OutOfDistribution
        } else if suitability == Suitability::Unknown {
            DecisionReason::IntendedUseUnknown
        } else if (self.review_band.low..self.review_band.high).contains(&p) {
            DecisionReason::NearThreshold
        } else if side == DecisionKind::Positive {
            DecisionReason::AboveThreshold
        } else {
            DecisionReason::BelowThreshold
        };
        let kind = match reason {
            DecisionReason::OutsideIntendedUse | DecisionReason::OutOfDistribution => DecisionKind::Refer,
            _ => side,
        };
        let confidence = if side == DecisionKind::Positive { p } else { 1.0 - p };
        Decision { kind, confidence, review_required: reason != DecisionReason::BelowThreshold, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::AffineCalibration;

    #[test]
    fn the_lists_of_codes_are_complete() {
        let kind = |kind| match kind {
            DecisionKind::Positive => 0,
            DecisionKind::Negative => 1,
            DecisionKind::Refer => 2,
        };
        let reason = |reason| match reason {
            DecisionReason::OutOfService => 0,
            DecisionReason::OutsideIntendedUse => 1,
            DecisionReason::OutOfDistribution => 2,
            DecisionReason::IntendedUseUnknown => 3,
            DecisionReason::NearThreshold => 4,
            DecisionReason::AboveThreshold => 5,
            DecisionReason::BelowThreshold => 6,
        };
        assert!(DecisionKind::ALL.into_iter().map(kind).eq(0..3));
        assert!(DecisionReason::ALL.into_iter().map(reason).eq(0..7));
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

    fn decide(p: f64, ood: f64, suitability: Suitability) -> Decision {
        let probability = AffineCalibration::IDENTITY.apply((p / (1.0 - p)).ln());
        policy().decide(probability, ood, suitability)
    }

    #[test]
    fn the_first_rule_that_applies_gives_the_reason() {
        use DecisionReason as Reason;
        use Suitability::{Intended, Outside, Unknown};
        let cases = [
            (0.9, 1.0, Intended, DecisionKind::Positive, Reason::AboveThreshold, true),
            (0.1, 1.0, Intended, DecisionKind::Negative, Reason::BelowThreshold, false),
            (0.35, 1.0, Intended, DecisionKind::Negative, Reason::NearThreshold, true),
            (0.45, 1.0, Intended, DecisionKind::Positive, Reason::NearThreshold, true),
            (0.1, 1.0, Unknown, DecisionKind::Negative, Reason::IntendedUseUnknown, true),
            (0.45, 1.0, Unknown, DecisionKind::Positive, Reason::IntendedUseUnknown, true),
            (0.9, 1.0, Unknown, DecisionKind::Positive, Reason::IntendedUseUnknown, true),
            (0.1, 3.5, Intended, DecisionKind::Refer, Reason::OutOfDistribution, true),
            (0.9, f64::NAN, Unknown, DecisionKind::Refer, Reason::OutOfDistribution, true),
            (0.1, 3.5, Outside, DecisionKind::Refer, Reason::OutsideIntendedUse, true),
            (0.9, 1.0, Outside, DecisionKind::Refer, Reason::OutsideIntendedUse, true),
        ];
        for (p, ood, suitability, kind, reason, review) in cases {
            let d = decide(p, ood, suitability);
            let found = (d.kind, d.reason, d.review_required);
            assert_eq!(found, (kind, reason, review), "{p} {ood} {suitability:?}");
            let side = if p >= 0.4 { p } else { 1.0 - p };
            assert!((d.confidence - side).abs() < 1e-12, "rows keep the number of a referred image");
            let out = d.out_of_service();
            let found = (out.kind, out.reason, out.review_required);
            assert_eq!(found, (DecisionKind::Refer, Reason::OutOfService, true));
            assert!((out.confidence - d.confidence).abs() < 1e-12);
        }
    }
}
