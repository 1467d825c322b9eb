//! What is monitored, in groups.

use cxr::statistics::ImageStatistics;
use serde::{Deserialize, Serialize};

/// Quantities that one detector of alarms watches together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Statistics of the image.
    Inputs,
    /// Calibrated probability.
    Score,
    /// Out-of-distribution score.
    Ood,
    /// Coordinates of the embedding.
    Embedding,
    /// Share of rejected images.
    Rejections,
}

impl Group {
    pub const ALL: [Self; 5] = [Self::Inputs, Self::Score, Self::Ood, Self::Embedding, Self::Rejections];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::Score => "score",
            Self::Ood => "ood",
            Self::Embedding => "embedding",
            Self::Rejections => "rejections",
        }
    }
}

/// Names of the image statistics in rows. Rows of version 1 have the first eleven.
pub const INPUTS: [&str; N_INPUTS] = ImageStatistics::NAMES;

/// Number of image statistics.
pub const N_INPUTS: usize = ImageStatistics::NAMES.len();

/// Most coordinates of an embedding that are monitored.
pub const MAX_COORDINATES: usize = 32;
