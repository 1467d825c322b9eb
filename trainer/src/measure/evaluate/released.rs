//! Evaluation of a released bundle through ONNX Runtime. Needs the bundle and the data, but no run directory.

use super::{EvaluatedModel, EvaluationFile, check_look, measure};
use crate::bundle::{self, Released};
use crate::config::Config;
use crate::data::folds::Fold;
use crate::data::ledger;
use crate::files;
use crate::measure::calibrate::Calibrated;
use crate::progress::say;
use crate::train::score::score_graph;
use anyhow::Result;
use cxr::bundle::FoldEvaluation;
use std::path::Path;

/// Evaluates one fold with the default variant of a bundle. Writes the figures to `output`, by default a
/// folder in `runs/`. The ledger is in `output`, by default in `runs/`.
pub fn evaluate_bundle(
    config: &Config,
    (folder, output): (&Path, Option<&Path>),
    onnxruntime: &Path,
    fold: Fold,
    reason: Option<&str>,
) -> Result<FoldEvaluation> {
    check_look(fold, reason)?;
    let released = Released::open(config, folder)?;
    let (bundle, manifest) = (&released.bundle, released.bundle.manifest());
    let (_, variant) = bundle.variant(None)?;
    let ledger = ledger::path(&config.evaluation, output.unwrap_or(Path::new("runs")));
    let output = output.map_or_else(
        || Path::new("runs").join(format!("evaluate-{}-{}", manifest.name, &bundle.digest()[..12])),
        Path::to_owned,
    );
    let pixels = released.pixels(fold, &released.recipe())?;
    let scores = score_graph(&mut bundle::session(bundle, variant, onnxruntime)?, &pixels, fold.name())?;
    let evaluated = EvaluatedModel {
        name: released.name(),
        config_sha256: manifest.training.config_sha256.clone(),
        calibrated: Calibrated {
            weights_sha256: bundle::graph_digest(bundle, variant),
            calibration: variant.calibration,
            policy: variant.policy.clone(),
            reference: bundle.reference().clone(),
            conformal: Vec::new(),
            analysis: None,
        },
        ledger,
    };
    files::create_own_folder(&output)?;
    let evaluation = measure(&evaluated, config, fold, reason, &pixels, &scores)?;
    let file = output.join(EvaluationFile::name(fold));
    files::write_json(&file, &evaluation)?;
    say(file.display().to_string());
    if fold == Fold::Test {
        say(format!("the look is recorded in {}", evaluated.ledger.display()));
    }
    Ok(evaluation.figures)
}
