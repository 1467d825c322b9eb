//! A released bundle measured again through ONNX Runtime: wants the bundle and the data, and no run directory.

pub mod verify;
pub mod version;

use crate::config::Config;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::data::ledger;
use crate::data::pixels::{Pixels, Recipe};
use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::{EvaluationFile, Subject, check_look, judge};
use crate::progress::{Meter, say};
use crate::train::decode;
use crate::train::score::Scores;
use crate::{export, files};
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, FoldEvaluation, Trust, Variant};
use runtime::{Runtime, Session, SessionOptions};
use std::path::Path;

/// Evaluates one fold with the default variant of a bundle, and writes the figures into `output`, and the ledger too: without it, into a
/// folder in `runs/`, and into the ledger there.
///
/// # Errors
/// When the data and configuration do not give the folds that the bundle was made with, and as
/// [`evaluate`](crate::measure::evaluate::evaluate) does.
pub fn evaluate_bundle(
    config: &Config,
    (folder, output): (&Path, Option<&Path>),
    onnxruntime: &Path,
    fold: Fold,
    reason: Option<&str>,
) -> Result<FoldEvaluation> {
    check_look(fold, reason)?;
    // Whoever measures a bundle on their own machine need not trust its maker's key; the digests are checked.
    let bundle = export::open(folder, &Trust::Unsigned)?;
    let (manifest, (_, variant)) = (bundle.manifest(), bundle.variant(None)?);
    // Beside its results where a folder is named for them, else with the looks of the runs in `runs`.
    let ledger = ledger::place(&config.evaluation, output.unwrap_or(Path::new("runs")));
    let output = output.map_or_else(
        || Path::new("runs").join(format!("evaluate-{}-{}", manifest.name, &bundle.digest()[..12])),
        Path::to_owned,
    );
    let index = Index::of(config)?;
    let folds = Folds::of(&index, config)?;
    let (found, expected) = (folds.digest()?, &manifest.training.split_sha256);
    ensure!(
        found == *expected,
        "the data in {} give folds with digest {found}, the bundle was made with {expected}: its train fold could be among them",
        index.root.display()
    );
    let recipe = Recipe { acceptance: manifest.acceptance, preprocess: manifest.preprocess };
    let pixels = decode(config, &index, &folds, fold, &recipe)?;
    let mut session = session(&bundle, variant, onnxruntime)?;
    let scores = score(&mut session, &pixels, fold.name())?;
    let subject = Subject {
        name: format!("{} {}", manifest.name, manifest.version),
        config_sha256: manifest.training.config_sha256.clone(),
        calibrated: Calibrated {
            weights_sha256: manifest.files[&variant.file].sha256.clone(),
            calibration: variant.calibration,
            policy: variant.policy.clone(),
            reference: bundle.reference().clone(),
            conformal: Vec::new(),
            analysis: None,
        },
        ledger,
    };
    std::fs::create_dir_all(&output).with_context(|| format!("{}: cannot be created", output.display()))?;
    files::keep_out_of_git(&output)?;
    let evaluation = judge(&subject, config, fold, reason, &pixels, &scores)?;
    let file = output.join(EvaluationFile::name(fold));
    files::write_json(&file, &evaluation)?;
    say(file.display().to_string());
    if fold == Fold::Test {
        say(format!("the look is entered in {}", subject.ledger.display()));
    }
    Ok(evaluation.figures)
}

/// A session for a variant of a bundle, on the processor.
///
/// # Errors
/// When ONNX Runtime cannot be loaded or refuses the graph.
pub fn session(bundle: &Bundle, variant: &Variant, onnxruntime: &Path) -> Result<Session> {
    let graph = bundle.file(&variant.file).with_context(|| format!("{}: not in the bundle", variant.file))?;
    let runtime = Runtime::load(onnxruntime)?;
    Ok(runtime.session(graph, &bundle.manifest().model, &SessionOptions::default())?)
}

/// Scores every image with a session, one at a time.
///
/// # Errors
/// When ONNX Runtime fails.
pub(crate) fn score(session: &mut Session, pixels: &Pixels, what: &str) -> Result<Scores> {
    let meter = Meter::new(what, pixels.len());
    let mut scores = Scores::default();
    for position in 0..pixels.len() {
        let outputs = session.run(pixels.image(position), 1)?;
        scores.logits.push(f64::from(outputs.logits[0]));
        scores.embeddings.push(outputs.embedding);
        meter.advance(1, String::new);
    }
    Ok(scores)
}
