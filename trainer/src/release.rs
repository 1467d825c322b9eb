//! Release: exports a run, verifies the bundle independently, and registers it.

pub mod complete;
pub mod names;
pub mod origin;
pub mod quantise;
pub mod recalibrate;
pub mod registration;
pub mod revision;
pub mod taken;

use crate::bundle;
use crate::bundle::verify::{Verification, verify};
use crate::export::{Delivered, ExportPaths, export};
use crate::files;
use crate::fitness::{self, Fitness};
use crate::measure::calibrate::Calibrated;
use crate::progress::say;
use crate::release::registration::{Registration, register};
use crate::run::RunDirectory;
use crate::train::trained::TrainedRun;
use anyhow::{Context, Result};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in the run directory.
const FILE: &str = "release.json";

/// `release.json`: what was released from a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The weights.
    pub weights_sha256: String,
    /// Digest of the calibration and policy.
    pub calibration_sha256: String,
    /// Name of the bundle.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// Its digest.
    pub bundle_sha256: String,
    /// Key that signed it.
    pub signed_by: String,
    /// All its files together.
    pub n_bytes: u64,
    /// What was checked.
    pub verification: Verification,
    /// Where it is registered.
    pub registration: Registration,
}

impl Release {
    /// What a run released, if it did; the weights' digest says whether it still is about the run's network.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        files::read_json(&run.file(FILE))
    }
}

/// Exports, which verifies, and registers a network that is fit, or any with a reason.
///
/// # Errors
/// When the network is not shown to be fit and no reason is given, and as [`export`] and [`register`] do.
pub fn release(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    paths: &ExportPaths,
    reason: Option<&str>,
) -> Result<Release> {
    let fitness = judged(trained, calibrated, reason)?;
    fitness.report();
    fitness.ensure_releasable()?;
    let Delivered { bundle, verification } = export(trained, calibrated, paths)?;
    verification.report();
    let (run, tracking) = (trained.run, &trained.config.tracking);
    let registration = register(tracking, &run.file(""), &run.name(), &paths.bundle, &bundle)?;
    let manifest = bundle.manifest();
    let release = Release {
        weights_sha256: trained.weights_sha256.clone(),
        calibration_sha256: crate::measure::evaluate::digest(calibrated)?,
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        bundle_sha256: bundle.digest().to_owned(),
        signed_by: bundle.signed_by().unwrap_or_default().to_owned(),
        n_bytes: manifest.files.values().map(|file| file.bytes).sum(),
        verification,
        registration,
    };
    files::write_json(&run.file(FILE), &release)?;
    Ok(release)
}

/// The verdict on a run, with the reason for a release that it does not allow, on file.
///
/// # Errors
/// When a file of the run cannot be read or written, or the reason says nothing.
pub fn judged(trained: &TrainedRun, calibrated: &Calibrated, reason: Option<&str>) -> Result<Fitness> {
    let mut fitness = fitness::judge(trained, calibrated)?;
    fitness.accept(reason)?;
    fitness.write(trained.run)?;
    Ok(fitness)
}

/// Registers a bundle that was released elsewhere, under a run of its own in `runs/`, if `verify` accepts it.
///
/// # Errors
/// When `verify` refuses it, or the store does.
pub fn register_bundle(
    tracking: &crate::config::Tracking,
    folder: &Path,
    run: Option<&Path>,
    key: Option<&VerifyingKey>,
    onnxruntime: Option<&Path>,
) -> Result<Registration> {
    let verification = verify(folder, key, onnxruntime);
    if verification.result().is_err() {
        verification.report();
    }
    verification.result().with_context(|| format!("{}: must not be registered", folder.display()))?;
    let bundle = bundle::open(folder, key)?;
    let manifest = bundle.manifest();
    let own = format!("register-{}-{}", manifest.name, &bundle.digest()[..12]);
    let run_folder = run.map_or_else(|| Path::new("runs").join(&own), Path::to_owned);
    say(format!("{} {}, bundle digest {}", manifest.name, manifest.version, bundle.digest()));
    // Without a configuration the bundle alone says what it is called.
    let tracking = tracking.clone().named_after(&manifest.name);
    register(&tracking, &run_folder, &own, folder, &bundle)
}
