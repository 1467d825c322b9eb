//! Robustness: what corruptions do to the figures of the select fold, which shortcuts the data offers and the network
//! takes, and which mitigations help. Judged on select: the test split plays no part here.

mod adapt;
pub mod classifier;
pub mod compare;
pub mod corruptions;
pub mod figures;
mod headers;
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

/// The file in the run directory.
pub const FILE: &str = "robustness.json";

/// `robustness.json`: one model on the select fold. A part that was not asked for is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Robustness {
    /// The run, or the bundle with its version.
    pub subject: String,
    /// The weights, or the graph of the bundle, that was measured.
    pub weights_sha256: String,
    /// The fold, `select`.
    pub fold: Fold,
    /// Images.
    pub n: usize,
    /// Positives among them.
    pub n_positive: usize,
    /// Operating point on the calibrated probability.
    pub threshold: f64,
    /// The fold as it is.
    pub clean: Figures,
    /// The fold under corruptions.
    pub corruptions: Option<CorruptionSuite>,
    /// Shortcuts that the data offers, and whether the network takes them.
    pub probes: Option<Probes>,
    /// What helps without training again.
    pub mitigations: Option<Vec<Mitigation>>,
}

/// What can be measured.
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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Corruptions, Self::Probes, Self::Mitigations];
}

impl Robustness {
    /// What is on file in a folder, if anything is.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        files::read_json(&folder.join(FILE))
    }
}

/// Measures the parts asked for and writes them down; parts on file that belong to the same weights and operating point
/// stay.
pub fn robustness(model: &mut ModelUnderTest, severities: &[u8], parts: &[Part]) -> Result<Robustness> {
    let clean_logits = model.clean()?;
    let clean = model.figures(&clean_logits)?;
    say(format!("{} on the select fold, {} images", model.name, model.n()));
    say(format!("  {:<18} {clean}", "clean"));
    let positive = model.positive();
    let mut result = Robustness {
        subject: model.name.clone(),
        weights_sha256: model.weights_sha256.clone(),
        fold: Fold::Select,
        n: positive.len(),
        n_positive: positive.iter().filter(|label| **label).count(),
        threshold: model.threshold,
        clean,
        corruptions: None,
        probes: None,
        mitigations: None,
    };
    // Parts measured before stay as long as they belong to this model, operating point and fold.
    let known = Robustness::load(&model.output)?;
    if let Some(known) =
        known.filter(|known| (&known.weights_sha256, &known.clean) == (&result.weights_sha256, &result.clean))
    {
        // The run may have been renamed since.
        result = Robustness { subject: result.subject, ..known };
    }
    if parts.contains(&Part::Corruptions) {
        let suite = measure_corruptions(model, severities)?;
        let figure = plot::auc_by_severity(&result.clean, &suite)?;
        files::write_atomically(&model.figure("robustness-auc.svg")?, figure.as_bytes())?;
        result.corruptions = Some(suite);
        files::write_json(&model.output.join(FILE), &result)?;
    }
    if parts.contains(&Part::Probes) {
        result.probes = Some(measure_probes(model)?);
        files::write_json(&model.output.join(FILE), &result)?;
    }
    if parts.contains(&Part::Mitigations) {
        result.mitigations = Some(measure_mitigations(model)?);
        files::write_json(&model.output.join(FILE), &result)?;
    }
    Ok(result)
}
