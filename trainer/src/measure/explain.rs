//! Explanations: whether the maps are what they claim to be, whether they depend on what was learnt, where they lie, and
//! what they look like. All on the select fold; every step is written down as it is finished.

pub mod agreement;
pub mod maps;
mod outcome;
pub mod overlays;
pub mod randomisation;
pub mod saliency;

use crate::data::folds::Fold;
use crate::files;
use crate::measure::calibrate::Calibrated;
use crate::progress::say;
use crate::run::RunDirectory;
use crate::train::trained::TrainedRun;
use agreement::Agreement;
use anyhow::Result;
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use maps::Maps;
pub use outcome::Outcome;
use overlays::Overlay;
use randomisation::Randomisation;
use saliency::Saliency;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "explain.json";
/// What stands for the share of saliency on the lungs.
const NO_LUNGS: &str = "not measured: no lung segmentation";

/// `explain.json`; a step is absent until it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    pub weights_sha256: String,
    pub fold: Fold,
    pub n: usize,
    /// Operating point on the calibrated probability, which decides the outcomes.
    pub threshold: f64,
    pub confusion: ConfusionMatrix,
    /// Grad-CAM against the map of the exported graph.
    pub agreement: Option<Agreement>,
    pub randomisation: Option<Randomisation>,
    /// How much of them lies on the border and in the corners.
    pub saliency: Option<Saliency>,
    /// How much of them lies on the lungs, or why that is not known.
    pub lung_field: String,
    pub overlays: Option<Vec<Overlay>>,
}

impl Explanation {
    /// What is on file for a run, if it was made with these weights and this operating point.
    pub fn load(run: &RunDirectory, weights_sha256: &str, threshold: f64) -> Result<Option<Self>> {
        let found: Option<Self> = files::read_json(&run.file(FILE))?;
        Ok(found.filter(|found| {
            found.weights_sha256 == weights_sha256 && found.threshold.to_bits() == threshold.to_bits()
        }))
    }
}

/// Explains a trained run, step by step.
pub fn explain(trained: &TrainedRun, calibrated: &Calibrated, onnxruntime: &Path) -> Result<Explanation> {
    let threshold = calibrated.policy.threshold;
    let maps = Maps::of(trained, calibrated)?;
    let mut found = match Explanation::load(trained.run, &trained.weights_sha256, threshold)? {
        Some(known) => known,
        None => Explanation {
            weights_sha256: trained.weights_sha256.clone(),
            fold: Fold::Select,
            n: maps.pixels.len(),
            threshold,
            confusion: ConfusionMatrix::at(&maps.probabilities, &maps.positive, threshold),
            agreement: None,
            randomisation: None,
            saliency: None,
            lung_field: NO_LUNGS.to_owned(),
            overlays: None,
        },
    };
    let write = |found: &Explanation| files::write_json(&trained.run.file(FILE), found);
    if found.agreement.is_none() {
        found.agreement = Some(agreement::measure(trained, &maps, onnxruntime)?);
        write(&found)?;
    }
    if found.randomisation.is_none() {
        found.randomisation = Some(randomisation::measure(trained, &maps)?);
        write(&found)?;
    }
    if found.saliency.is_none() {
        found.saliency = Some(saliency::measure(trained, &maps));
        write(&found)?;
    }
    if found.overlays.is_none() {
        found.overlays = Some(overlays::draw(trained, &maps)?);
        write(&found)?;
    }
    say(format!("saliency on the lung field: {}", found.lung_field));
    Ok(found)
}
