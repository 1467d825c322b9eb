//! The runs that a soup is made of, and what they must have in common.

use super::Judgement;
use crate::model::weights::{self, NamedTensors};
use crate::run::RunDirectory;
use crate::train::checkpoint::EpochMetrics;
use crate::tune::{StudyDirectory, TuneFile};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The averaged weights of a run's best epoch.
#[derive(Debug)]
pub struct Ingredient {
    /// Its directory.
    pub run: PathBuf,
    /// SHA-256 of the weights' file.
    pub weights_sha256: String,
    pub(super) tensors: NamedTensors,
    note: String,
}

/// Keys of `config.yaml` in which runs must agree: they say where training began and on what.
const SHARED: [&str; 7] = [
    "/seed",
    "/data",
    "/acceptance",
    "/preprocess",
    "/model/architecture",
    "/model/weights",
    "/stored_jpeg_quality",
];

impl Ingredient {
    /// Opens a run.
    ///
    /// # Errors
    /// When it was not trained, or not from the weights and on the folds that `out` stands for.
    pub fn open(run: &Path, out: &RunDirectory) -> Result<Self> {
        let file = run.join("best.safetensors");
        let bytes = std::fs::read(&file)
            .with_context(|| format!("{}: cannot be read; was this run trained?", file.display()))?;
        let (tensors, note) = weights::read(&file)?;
        let note = note.with_context(|| format!("{}: does not say which epoch it is", file.display()))?;
        let folds = |path: PathBuf| -> Result<Value> {
            let text = std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("{}: are no folds", path.display()))
        };
        ensure!(
            folds(run.join("folds.json"))? == folds(out.folds())?,
            "{}: was trained on other folds",
            run.display()
        );
        let (theirs, ours) = (config(&run.join("config.yaml"))?, config(&out.file("config.yaml"))?);
        for key in SHARED {
            ensure!(
                theirs.pointer(key) == ours.pointer(key),
                "{}: began from other weights or data: its config.yaml has another {}",
                run.display(),
                &key[1..]
            );
        }
        Ok(Self { run: run.to_owned(), weights_sha256: cxr::bundle::sha256_hex(&bytes), tensors, note })
    }

    /// Refuses a soup whose directory would be frozen with another configuration than its first run's.
    pub(super) fn ensure_configured_as(&self, out: &RunDirectory) -> Result<()> {
        ensure!(
            config(&self.run.join("config.yaml"))? == config(&out.file("config.yaml"))?,
            "{}: the first run was trained with another configuration than this one; give its --config",
            self.run.display()
        );
        Ok(())
    }

    /// The note of the weights' file, with the soup's own figures.
    pub(super) fn note_with(&self, judgement: &Judgement) -> Result<String> {
        let mut epoch: EpochMetrics = serde_json::from_str(&self.note)
            .with_context(|| format!("{}: its note is no epoch", self.run.display()))?;
        epoch.select_loss = judgement.select_loss;
        epoch.select_auc = judgement.select_auc;
        Ok(serde_json::to_string(&epoch)?)
    }
}

fn config(file: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    serde_yaml_ng::from_str(&text).with_context(|| format!("{}: is no configuration", file.display()))
}

/// The trials of a study that reached the best one's rung, the best first.
///
/// # Errors
/// When the study has no result.
pub fn from_study(study: &StudyDirectory) -> Result<(TuneFile, Vec<PathBuf>)> {
    let results = TuneFile::load(study.path())?
        .with_context(|| format!("{}: holds no tune.json", study.path().display()))?;
    let best =
        results.best.clone().with_context(|| format!("{}: has no best trial", study.path().display()))?;
    let reached =
        |trial: &&crate::tune::study::Trial| trial.rungs.last().is_some_and(|r| r.epochs == best.epochs);
    let others = results.trials.iter().filter(reached).map(|trial| trial.number).filter(|n| *n != best.trial);
    let runs = std::iter::once(best.trial).chain(others).map(|number| study.trial(number)).collect();
    Ok((results, runs))
}
