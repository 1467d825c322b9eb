//! Robustness on the select fold: figures under corruptions, shortcuts that the data offers and the network
//! takes, and mitigations. The test split is not used.

mod adapt;
pub mod classifier;
pub mod compare;
pub mod corruptions;
pub mod figures;
pub mod mitigations;
pub mod model;
pub mod plot;
pub mod probes;

use crate::data::folds::Fold;
use crate::files;
use crate::progress::say;
use anyhow::Result;
use corruptions::{CorruptionSuite, measure_corruptions};
use figures::Figures;
use mitigations::{Mitigation, measure_mitigations};
use model::ModelUnderTest;
use probes::{Probes, measure_probes};
use serde::{Deserialize, Serialize};
use std::path::Path;

pub const FILE: &str = "robustness.json";

/// `robustness.json`: one model on the select fold. A part that was not requested is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robustness {
    pub subject: String,
    /// Digest of the weights, or of the bundle's graph.
    pub weights_sha256: String,
    pub fold: Fold,
    pub n: usize,
    pub n_positive: usize,
    pub threshold: f64,
    pub clean: Figures,
    pub corruptions: Option<CorruptionSuite>,
    pub probes: Option<Probes>,
    pub mitigations: Option<Vec<Mitigation>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// AUC and log loss under graded corruptions.
    Corruptions,
    /// Shortcuts: class from headers and borders; masked, exchanged and lettered images.
    Probes,
    /// Test-time augmentation, AdaBN and CORAL.
    Mitigations,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Corruptions, Self::Probes, Self::Mitigations];
}

impl Robustness {
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        files::read_json(&folder.join(FILE))
    }
}

/// Measures the requested parts and writes `robustness.json` after each. Other parts on file stay if they
/// belong to this model, operating point and fold.
pub fn robustness(model: &mut ModelUnderTest, severities: &[u8], parts: &[Part]) -> Result<Robustness> {
    let logits = model.clean()?;
    let clean = model.figures(&logits)?;
    say(format!("{} on the select fold, {} images", model.name, model.n()));
    say(format!("  {:<18} {clean}", "clean"));
    let mut result = Robustness {
        subject: model.name.clone(),
        weights_sha256: model.weights_sha256.clone(),
        fold: Fold::Select,
        n: model.n(),
        n_positive: model.evaluator.n(true),
        threshold: model.evaluator.threshold,
        clean,
        corruptions: None,
        probes: None,
        mitigations: None,
    };
    let known = Robustness::load(&model.output)?;
    let is_current =
        |known: &Robustness| known.weights_sha256 == result.weights_sha256 && known.clean == clean;
    if let Some(known) = known.filter(is_current) {
        // The run may have been renamed since.
        result = Robustness { subject: result.subject, ..known };
    }
    let file = model.output.join(FILE);
    let write = |result: &Robustness| files::write_json(&file, result);
    if parts.contains(&Part::Corruptions) {
        let suite = measure_corruptions(model, severities)?;
        let figure = plot::auc_by_severity(&result.clean, &suite)?;
        files::write_atomically(&model.figure("robustness-auc.svg")?, figure.as_bytes())?;
        result.corruptions = Some(suite);
        write(&result)?;
    }
    if parts.contains(&Part::Probes) {
        result.probes = Some(measure_probes(model)?);
        write(&result)?;
    }
    if parts.contains(&Part::Mitigations) {
        result.mitigations = Some(measure_mitigations(model)?);
        write(&result)?;
    }
    Ok(result)
}
