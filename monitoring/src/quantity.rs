//! What is monitored, in groups.

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

/// Number of image statistics.
pub const N_INPUTS: usize = 18;

/// Names of the image statistics in rows (`cxr::statistics`, version 2).
pub const INPUTS: [&str; N_INPUTS] = [
    "mean",
    "standard_deviation",
    "p01",
    "p50",
    "p99",
    "entropy_bits",
    "black_fraction",
    "white_fraction",
    "edge_strength",
    "aspect_ratio",
    "megapixels",
    // Since version 2.
    "border",
    "letters",
    "blockiness",
    "gradient_energy",
    "laplacian_variance",
    "homogeneity",
    "pattern_entropy_bits",
];

/// Most coordinates of an embedding that are monitored.
pub const MAX_COORDINATES: usize = 32;
