//! Explanations on the select fold: checks that the maps are Grad-CAM and depend on the weights, their
//! distribution over the image, and example overlays. Each step is written as soon as it is finished.

pub mod agreement;
pub mod maps;
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
use overlays::Overlay;
use randomisation::Randomisation;
use saliency::Saliency;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "explain.json";
const NO_LUNGS: &str = "not measured: no lung segmentation";

/// `explain.json`; a step is absent until it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    pub weights_sha256: String,
    pub fold: Fold,
    pub n: usize,
    pub threshold: f64,
    pub confusion: ConfusionMatrix,
    pub agreement: Option<Agreement>,
    pub randomisation: Option<Randomisation>,
    pub saliency: Option<Saliency>,
    /// Why the share on the lungs is not measured.
    pub lung_field: String,
    pub overlays: Option<Vec<Overlay>>,
}

impl Explanation {
    /// `None` unless made with these weights and this operating point.
    pub fn load(run: &RunDirectory, weights_sha256: &str, threshold: f64) -> Result<Option<Self>> {
        let found: Option<Self> = files::read_json(&run.file(FILE))?;
        Ok(found.filter(|found| {
            found.weights_sha256 == weights_sha256 && found.threshold.to_bits() == threshold.to_bits()
        }))
    }
}

/// Explains a trained run; continues with the first step that is not on file.
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
