//! A decision compared with the label.

use serde::{Deserialize, Serialize};

/// What a call turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A positive that was flagged.
    TruePositive,
    /// A negative that was flagged.
    FalsePositive,
    /// A positive that was missed.
    FalseNegative,
    /// A negative that was not flagged.
    TrueNegative,
}

impl Outcome {
    /// All, in the order of the contact sheet.
    pub const ALL: [Self; 4] =
        [Self::TruePositive, Self::FalsePositive, Self::FalseNegative, Self::TrueNegative];

    /// Of one image, by the same rule as [`ConfusionMatrix::at`](cxr::analysis::scoring::confusion::ConfusionMatrix::at).
    pub const fn of(is_positive: bool, is_flagged: bool) -> Self {
        match (is_positive, is_flagged) {
            (true, true) => Self::TruePositive,
            (false, true) => Self::FalsePositive,
            (true, false) => Self::FalseNegative,
            (false, false) => Self::TrueNegative,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::TruePositive => "true-positive",
            Self::FalsePositive => "false-positive",
            Self::FalseNegative => "false-negative",
            Self::TrueNegative => "true-negative",
        }
    }
}
