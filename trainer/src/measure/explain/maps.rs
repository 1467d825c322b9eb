//! The class activation maps of the select fold, with the label and the decision of each image.

use crate::data::folds::Fold;
use crate::data::pixels::Pixels;
use crate::measure::calibrate::Calibrated;
use crate::measure::sample::patients;
use crate::progress::Meter;
use crate::train::score::grey_nchw;
use crate::train::trained::TrainedRun;
use anyhow::Result;
use serde::{Deserialize, Serialize};

const BATCH: usize = 32;

/// The cell of the confusion matrix that an image belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfusionCell {
    TruePositive,
    FalsePositive,
    FalseNegative,
    TrueNegative,
}

impl ConfusionCell {
    /// In the order of the contact sheet.
    pub const ALL: [Self; 4] =
        [Self::TruePositive, Self::FalsePositive, Self::FalseNegative, Self::TrueNegative];

    pub const fn new(is_positive: bool, is_flagged: bool) -> Self {
        match (is_positive, is_flagged) {
            (true, true) => Self::TruePositive,
            (false, true) => Self::FalsePositive,
            (true, false) => Self::FalseNegative,
            (false, false) => Self::TrueNegative,
        }
    }

    pub const fn is_flagged(self) -> bool {
        matches!(self, Self::TruePositive | Self::FalsePositive)
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

#[derive(Debug)]
pub struct Maps {
    pub pixels: Pixels,
    pub positive: Vec<bool>,
    /// A number for each image's patient.
    pub patients: Vec<usize>,
    pub probabilities: Vec<f64>,
    pub cells: Vec<ConfusionCell>,
    /// Class activation maps before the ReLU, row-major.
    pub maps: Vec<Vec<f32>>,
    pub map_size: (u32, u32),
}

impl Maps {
    pub fn of(trained: &TrainedRun, calibrated: &Calibrated) -> Result<Self> {
        let recipe = trained.recipe();
        let pixels = Pixels::of_fold(trained.config, &trained.index, &trained.folds, Fold::Select, &recipe)?;
        let architecture = trained.config.model.architecture;
        let map_size = (architecture.map_side(pixels.size.0), architecture.map_side(pixels.size.1));
        let meter = Meter::new("maps", pixels.len());
        let (mut logits, mut maps) = (Vec::new(), Vec::new());
        let positions: Vec<usize> = (0..pixels.len()).collect();
        for positions in positions.chunks(BATCH) {
            let outputs = trained.network.outputs(&grey_nchw(&pixels, positions, trained.device));
            let of_batch: Vec<f32> = Vec::try_from(outputs.logits.flatten(0, -1))?;
            logits.extend(of_batch.into_iter().map(f64::from));
            maps.extend(Vec::<Vec<f32>>::try_from(outputs.cam.flatten(1, -1).contiguous())?);
            meter.advance(positions.len(), String::new);
        }
        let probabilities = calibrated.probabilities(&logits);
        let positive = pixels.positive();
        let cells = positive
            .iter()
            .zip(&probabilities)
            .map(|(positive, p)| ConfusionCell::new(*positive, *p >= calibrated.policy.threshold))
            .collect();
        Ok(Self { patients: patients(&pixels), pixels, positive, probabilities, cells, maps, map_size })
    }
}
