//! Export: a trained, calibrated and evaluated run as a signed bundle. Nothing is written where the service looks until
//! ONNX Runtime has reproduced the network and every file is there.

pub(crate) mod card;
mod contents;
mod delivery;
mod further;
pub(crate) mod golden;
pub mod int8;
pub mod parity;
pub(crate) mod section;

use crate::bundle::version::{Bump, InPlace, next};
use crate::data::folds::Fold;
use crate::files;
use crate::measure::calibrate::Calibrated;
use crate::measure::consistency::{self, Consistency, Scorer};
use crate::measure::evaluate::EvaluationFile;
use crate::measure::select;
use crate::onnx;
use crate::progress::say;
use crate::run::environment::{Environment, now};
use crate::run::verdict;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result, ensure};
use card::{Card, Facts};
pub(crate) use card::{NO_ORIGINALS, thresholds};
use contents::digest;
pub(crate) use contents::{BundleFiles, GRAPH, VARIANT, json, seal};
use cxr::bundle::{Evaluation, Golden, Manifest, Provenance, SCHEMA_VERSION, Variant, key_id};
use cxr::heatmap::HeatmapScale;
pub use delivery::Delivered;
pub(crate) use delivery::deliver;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use parity::Parity;
use runtime::{Runtime, Session, SessionOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where things are on this machine.
#[derive(Debug, Clone)]
pub struct ExportPaths {
    /// The bundle's folder; replaced when it exists.
    pub bundle: PathBuf,
    /// Ed25519 private key, PKCS#8 PEM.
    pub signing_key: PathBuf,
    /// ONNX Runtime's shared library.
    pub onnxruntime: PathBuf,
    /// Raises the version of the bundle that is in place.
    pub bump: Option<Bump>,
    /// The technical report, which becomes the bundle's `REPORT.md`.
    pub report: Option<PathBuf>,
}

/// Exports the run.
///
/// # Errors
/// When parity fails, an evaluation is missing, the bundle is too large, or `verify` refuses it.
pub fn export(trained: &TrainedRun, calibrated: &Calibrated, paths: &ExportPaths) -> Result<Delivered> {
    let key = signing_key(&paths.signing_key)?;
    let architecture = trained.config.model.architecture;
    let size = (trained.config.preprocess.width, trained.config.preprocess.height);
    let graph = onnx::encode(architecture, &trained.network.named_tensors(), size)?;
    let runtime = Runtime::load(&paths.onnxruntime)?;
    let contract = onnx::contract(architecture, size);
    let mut session = runtime.session(&graph, &contract, &SessionOptions::default())?;
    let parity = prove_parity(trained, &mut session)?;
    let evaluation = Evaluation {
        select: evaluation(trained, calibrated, Fold::Select)?
            .context("run `cxr-trainer evaluate --fold select` first")?
            .figures,
        calibrate: evaluation(trained, calibrated, Fold::Calibrate)?
            .context("run `cxr-trainer evaluate --fold calibrate` first")?
            .figures,
        test: evaluation(trained, calibrated, Fold::Test)?.map(|file| file.figures),
    };
    let consistency = consistency(trained, calibrated, &mut session)?;
    let in_place = InPlace::read(&paths.bundle)?;
    let mut files = BundleFiles::new();
    let golden = golden::golden(&mut session, size, golden::TOLERANCE, &mut files)?;
    files.insert(GRAPH.to_owned(), graph);
    files.insert(Manifest::REFERENCE.to_owned(), json(&calibrated.reference)?);
    let pixels = trained.pixels(Fold::Select)?;
    let found = select::measure(
        &mut session,
        &pixels,
        calibrated.calibration,
        &calibrated.policy,
        &calibrated.reference.embedding,
    )?;
    let mut manifest = manifest(trained, calibrated, evaluation, (golden, found.maps.scale.clone().ok()))?;
    let int8 = int8::add(trained, calibrated, &runtime, &mut manifest, &mut files)?;
    // A version depends on what every variant answers.
    manifest.files = files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
    manifest.version = next(in_place.as_ref(), &manifest, paths.bump)?.to_string();
    let further = further::measurements(trained, calibrated)?;
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
        further: &further,
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
    deliver(&paths.bundle, &files, &key, &paths.onnxruntime)
}

/// An Ed25519 private key, PKCS#8 PEM.
pub fn signing_key(file: &Path) -> Result<SigningKey> {
    let pem = std::fs::read_to_string(file).with_context(|| {
        format!(
            "{}: cannot be read; pass --signing-key FILE, or set trainer.export.signing_key to the private key that signs",
            file.display()
        )
    })?;
    SigningKey::from_pkcs8_pem(&pem)
        .with_context(|| format!("{}: is no Ed25519 key in PKCS#8 PEM", file.display()))
}

/// Compares untouched originals with their copies through ONNX Runtime, as `export` does, and writes `consistency.json`.
pub fn compare_originals(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    onnxruntime: &Path,
) -> Result<Option<Consistency>> {
    let architecture = trained.config.model.architecture;
    let size = (trained.config.preprocess.width, trained.config.preprocess.height);
    let graph = onnx::encode(architecture, &trained.network.named_tensors(), size)?;
    let contract = onnx::contract(architecture, size);
    let mut session = Runtime::load(onnxruntime)?.session(&graph, &contract, &SessionOptions::default())?;
    consistency(trained, calibrated, &mut session)
}

fn evaluation(trained: &TrainedRun, calibrated: &Calibrated, fold: Fold) -> Result<Option<EvaluationFile>> {
    EvaluationFile::load(trained, calibrated, fold)
}

/// Compares on the first images of the select fold and on phantoms.
fn prove_parity(trained: &TrainedRun, session: &mut Session) -> Result<Parity> {
    const N_REAL: usize = 16;
    let (width, height) = (trained.config.preprocess.width, trained.config.preprocess.height);
    let real = trained.pixels(Fold::Select)?;
    let mut images: Vec<Vec<u8>> =
        (0..real.len().min(N_REAL)).map(|position| real.image(position).to_vec()).collect();
    images.extend(golden::SEEDS.map(|seed| golden::phantom(seed, (width, height))));
    let parity = parity::compare(&trained.network, session, &images, (width, height))?;
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
        say("originals against copies: not measured, trainer.export.originals names no folder");
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
    consistency.report();
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
    let size = (config.preprocess.width, config.preprocess.height);
    let environment =
        Environment::load(&trained.run.file(""))?.context("the run holds no environment.json")?;
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
        model: onnx::contract(config.model.architecture, size),
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
