//! The class activation maps of the select fold, with label and decision of each image.

use super::outcome::Outcome;
use crate::data::folds::Fold;
use crate::data::pixels::Pixels;
use crate::measure::calibrate::Calibrated;
use crate::measure::sample::patients;
use crate::progress::Meter;
use crate::train::score::grey_nchw;
use crate::train::trained::TrainedRun;
use anyhow::Result;

const BATCH: usize = 32;

#[derive(Debug)]
pub struct Maps {
    /// The images as the network sees them.
    pub pixels: Pixels,
    pub positive: Vec<bool>,
    /// A number for every patient, by image.
    pub patients: Vec<usize>,
    pub probabilities: Vec<f64>,
    /// What became of each image at the operating point.
    pub outcomes: Vec<Outcome>,
    /// Class activation maps before the ReLU, row-major.
    pub maps: Vec<Vec<f32>>,
    /// Columns and rows of a map.
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
        let outcomes = positive
            .iter()
            .zip(&probabilities)
            .map(|(positive, p)| Outcome::of(*positive, *p >= calibrated.policy.threshold))
            .collect();
        Ok(Self { patients: patients(&pixels), pixels, positive, probabilities, outcomes, maps, map_size })
    }
}
