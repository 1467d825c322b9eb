//! What is monitored, in groups.

use crate::observation::Observation;
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

/// One monitored value of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Index into [`INPUTS`].
    Input(u8),
    /// Calibrated probability.
    Probability,
    Ood,
    /// Coordinate of the embedding, from 0 on.
    Coordinate(u8),
}

impl Quantity {
    /// All of them, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..N_QUANTITIES as u8).filter_map(Self::from_code)
    }

    pub const fn group(self) -> Group {
        match self {
            Self::Input(_) => Group::Inputs,
            Self::Probability => Group::Score,
            Self::Ood => Group::Ood,
            Self::Coordinate(_) => Group::Embedding,
        }
    }

    pub fn name(self) -> String {
        match self {
            Self::Input(index) => INPUTS[usize::from(index)].to_owned(),
            Self::Probability => "probability".to_owned(),
            Self::Ood => "ood_score".to_owned(),
            Self::Coordinate(index) => format!("coordinate_{:02}", index + 1),
        }
    }

    /// Number in stored windows and baselines.
    pub const fn code(self) -> u8 {
        match self {
            Self::Input(index) => index,
            Self::Probability => N_INPUTS as u8,
            Self::Ood => N_INPUTS as u8 + 1,
            Self::Coordinate(index) => N_INPUTS as u8 + 2 + index,
        }
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        const PROBABILITY: u8 = N_INPUTS as u8;
        match code {
            0..PROBABILITY => Some(Self::Input(code)),
            PROBABILITY => Some(Self::Probability),
            _ if code == PROBABILITY + 1 => Some(Self::Ood),
            _ if (code as usize) < N_QUANTITIES => Some(Self::Coordinate(code - PROBABILITY - 2)),
            _ => None,
        }
    }

    /// The value in an observation; `None` if the row lacks it.
    pub fn of(self, observation: &Observation) -> Option<f64> {
        let score = observation.score.as_ref();
        let value = match self {
            Self::Input(index) => observation.inputs.as_ref().map(|inputs| inputs[usize::from(index)]),
            Self::Probability => score.map(|score| score.probability),
            Self::Ood => score.map(|score| score.ood_score),
            Self::Coordinate(index) => {
                score.and_then(|score| score.coordinates.get(usize::from(index))).map(|c| f64::from(*c))
            }
        };
        value.filter(|value| !value.is_nan())
    }
}

/// Number of quantities.
pub const N_QUANTITIES: usize = N_INPUTS + 2 + MAX_COORDINATES;
