//! Export: a trained, calibrated and evaluated run as a signed bundle. The bundle's folder changes only after
//! ONNX Runtime has reproduced the network and `verify` has accepted the complete bundle.

pub(crate) mod card;
mod contents;
pub(crate) mod golden;
mod install;
pub mod int8;
mod measurements;
pub mod parity;
pub(crate) mod section;

use crate::bundle::version::{Bump, ExistingBundle, next};
use crate::config::Config;
use crate::data::folds::Fold;
use crate::files;
use crate::measure::calibrate::Calibrated;
pub(crate) use crate::measure::calibrate::VARIANT;
use crate::measure::consistency::{self, Consistency, Scorer};
use crate::measure::evaluate::EvaluationFile;
use crate::measure::on_select;
use crate::onnx;
use crate::progress::say;
use crate::run::environment::{Environment, now};
use crate::run::verdict;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result, ensure};
use card::{Card, Facts};
pub(crate) use card::{NO_ORIGINALS, thresholds};
use contents::digest;
pub(crate) use contents::{BundleFiles, GRAPH, json, reference_json, seal};
use cxr::bundle::{
    Evaluation, FoldEvaluation, Golden, Manifest, Provenance, SCHEMA_VERSION, Variant, key_id,
};
use cxr::heatmap::HeatmapScale;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
pub use install::Installed;
pub(crate) use install::{ensure_replaceable, install};
use parity::Parity;
use runtime::{Runtime, Session, SessionOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct ExportPaths {
    /// Folder of the bundle. An existing bundle is replaced.
    pub bundle: PathBuf,
    /// Ed25519 private key, PKCS#8 PEM.
    pub signing_key: PathBuf,
    pub onnxruntime: PathBuf,
    /// Increments the version of the existing bundle.
    pub bump: Option<Bump>,
    /// The technical report, which becomes the bundle's `REPORT.md`.
    pub report: Option<PathBuf>,
}

pub fn export(trained: &TrainedRun, calibrated: &Calibrated, paths: &ExportPaths) -> Result<Installed> {
    let key = signing_key(&paths.signing_key)?;
    let runtime = Runtime::load(&paths.onnxruntime)?;
    let (graph, mut session) = graph_of(trained, &runtime)?;
    let parity = measure_parity(trained, &mut session)?;
    let figures = |fold: Fold| -> Result<Option<FoldEvaluation>> {
        Ok(EvaluationFile::load(trained, calibrated, fold)?.map(|file| file.figures))
    };
    let evaluation = Evaluation {
        select: figures(Fold::Select)?.context("run `cxr-trainer evaluate --fold select` first")?,
        calibrate: figures(Fold::Calibrate)?.context("run `cxr-trainer evaluate --fold calibrate` first")?,
        test: figures(Fold::Test)?,
    };
    let consistency = consistency(trained, calibrated, &mut session)?;
    let existing = ExistingBundle::read(&paths.bundle)?;
    let mut files = BundleFiles::new();
    let golden = golden::golden(&mut session, input_size(trained.config), golden::TOLERANCE, &mut files)?;
    files.insert(GRAPH.to_owned(), graph);
    let pixels = trained.pixels(Fold::Select)?;
    let found = on_select::measure(
        &mut session,
        &pixels,
        calibrated.calibration,
        &calibrated.policy,
        &calibrated.reference.embedding,
    )?;
    let mut manifest = manifest(trained, calibrated, evaluation, (golden, found.maps.scale.clone().ok()))?;
    let mut reference = calibrated.reference.clone();
    let int8 = int8::add(trained, calibrated, &runtime, (&mut manifest, &mut reference), &mut files)?;
    files.insert(Manifest::REFERENCE.to_owned(), reference_json(&reference)?);
    // The version depends on the answers of every variant.
    manifest.files = files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
    manifest.version = next(existing.as_ref(), &manifest, paths.bump)?.to_string();
    let measurements = measurements::of(trained, calibrated)?;
    let deep = consistency.as_ref().and_then(|consistency| consistency.deep.as_ref());
    let sections: Vec<String> = [card::depth_section(deep), found.maps.section(), found.referred_section()]
        .into_iter()
        .chain(int8)
        .collect();
    let facts = Facts::of(trained, calibrated)?;
    files.insert(verdict::FILE.to_owned(), json(facts.fitness())?);
    let card = Card {
        manifest: &manifest,
        facts: &facts,
        consistency: consistency.as_ref(),
        parity: &parity,
        measurements: &measurements,
        sections: &sections,
        key: &key_id(&key.verifying_key()),
    };
    files.insert(Manifest::CARD.to_owned(), card.render()?.into_bytes());
    if let Some(report) = &paths.report {
        let text = std::fs::read(report).with_context(|| format!("{}: cannot be read", report.display()))?;
        files.insert("REPORT.md".to_owned(), facts.fitness().in_front_of(text));
    }
    seal(&mut manifest, &mut files, &key)?;
    let n_bytes: usize = files.values().map(Vec::len).sum();
    let limit = trained.config.export.max_bytes;
    ensure!(n_bytes <= limit, "the bundle has {n_bytes} bytes, trainer.export.max_bytes allows {limit}");
    install(&paths.bundle, &files, &key, &paths.onnxruntime)
}

pub fn signing_key(file: &Path) -> Result<SigningKey> {
    let pem = std::fs::read_to_string(file).with_context(|| {
        format!(
            "{}: cannot be read; pass --signing-key FILE, or set trainer.export.signing_key to the private key",
            file.display()
        )
    })?;
    SigningKey::from_pkcs8_pem(&pem)
        .with_context(|| format!("{}: not an Ed25519 key in PKCS#8 PEM", file.display()))
}

/// The part of `export` that compares the originals with their copies and writes `consistency.json`.
pub fn compare_originals(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    onnxruntime: &Path,
) -> Result<Option<Consistency>> {
    let (_, mut session) = graph_of(trained, &Runtime::load(onnxruntime)?)?;
    consistency(trained, calibrated, &mut session)
}

/// The network as an ONNX file, and a session that runs it.
fn graph_of(trained: &TrainedRun, runtime: &Runtime) -> Result<(Vec<u8>, Session)> {
    let (architecture, size) = (trained.config.model.architecture, input_size(trained.config));
    let graph = onnx::encode(architecture, &trained.network.named_tensors(), size)?;
    let session = runtime.session(&graph, &onnx::contract(architecture, size), &SessionOptions::default())?;
    Ok((graph, session))
}

/// Columns and rows of the network's input.
const fn input_size(config: &Config) -> (u32, u32) {
    (config.preprocess.width, config.preprocess.height)
}

/// On the first images of the select fold and on phantoms.
fn measure_parity(trained: &TrainedRun, session: &mut Session) -> Result<Parity> {
    const N_REAL: usize = 16;
    let size = input_size(trained.config);
    let real = trained.pixels(Fold::Select)?;
    let mut images: Vec<Vec<u8>> =
        (0..real.len().min(N_REAL)).map(|position| real.image(position).to_vec()).collect();
    images.extend(golden::SEEDS.map(|seed| golden::phantom(seed, size)));
    let parity = parity::compare(&trained.network, session, &images, size)?;
    say(parity.to_string());
    parity.check()?;
    Ok(parity)
}

fn consistency(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    session: &mut Session,
) -> Result<Option<Consistency>> {
    let Some(originals) = trained.config.export.originals.as_ref().filter(|folder| folder.is_dir()) else {
        say("originals against copies: not measured, trainer.export.originals is not a folder");
        return Ok(None);
    };
    let mut scorer = Scorer {
        session,
        recipe: trained.recipe(),
        calibration: calibrated.calibration,
        policy: &calibrated.policy,
        weights_sha256: trained.weights_sha256.clone(),
    };
    let consistency =
        Consistency::measure(&mut scorer, &trained.config.data, originals, &trained.index.root)?;
    consistency.print();
    files::write_json(&trained.run.file(consistency::FILE), &consistency)?;
    Ok(Some(consistency))
}

fn manifest(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    evaluation: Evaluation,
    (golden, heatmap): (Vec<Golden>, Option<HeatmapScale>),
) -> Result<Manifest> {
    let config = trained.config;
    let environment = Environment::load(&trained.run.file(""))?.context("the run has no environment.json")?;
    let variant = Variant {
        file: GRAPH.to_owned(),
        precision: VARIANT.to_owned(),
        fixed_batch: None,
        calibration: calibrated.calibration,
        policy: calibrated.policy.clone(),
        heatmap,
        golden,
    };
    Ok(Manifest {
        schema_version: SCHEMA_VERSION,
        name: config.export.name.clone(),
        version: config.export.version.clone(),
        created: now()?,
        git_commit: environment.git_commit.clone(),
        files: BTreeMap::new(),
        model: onnx::contract(config.model.architecture, input_size(config)),
        labels: config.labels(),
        intended_use: config.export.intended_use.clone(),
        acceptance: config.acceptance,
        preprocess: config.served_preprocess(),
        default_variant: VARIANT.to_owned(),
        variants: BTreeMap::from([(VARIANT.to_owned(), variant)]),
        evaluation,
        training: Provenance {
            dataset: config.data.name.clone(),
            dataset_sha256: trained.folds.dataset_sha256.clone(),
            split_sha256: trained.folds.digest()?,
            config_sha256: config.digest()?,
            seed: config.seed,
            images: trained
                .folds
                .folds
                .iter()
                .map(|(fold, paths)| (fold.name().to_owned(), paths.len()))
                .collect(),
            epoch: trained.epoch.epoch,
            hardware: environment.processor,
            libraries: environment.libraries,
            run: trained.run.name(),
        },
    })
}
