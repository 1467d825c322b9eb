//! Release of a run: export, verification and registration. Also the next versions of a bundle.

pub mod complete;
pub mod conflict;
pub mod destinations;
pub mod origin;
pub mod quantise;
pub mod recalibrate;
pub mod registration;
pub mod revision;

use crate::bundle;
use crate::bundle::verify::{Verification, verify};
use crate::export::{ExportPaths, Installed, export};
use crate::files;
use crate::fitness::{self, Fitness};
use crate::measure::calibrate::Calibrated;
use crate::progress::say;
use crate::release::registration::{Registration, register};
use crate::run::RunDirectory;
use crate::train::trained::TrainedRun;
use anyhow::Result;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use std::path::Path;

const FILE: &str = "release.json";

/// `release.json` in the run directory: what was released from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub weights_sha256: String,
    pub calibration_sha256: String,
    pub name: String,
    pub version: String,
    pub bundle_sha256: String,
    /// Id of the key.
    pub signed_by: String,
    /// Sum over all files.
    pub n_bytes: u64,
    pub verification: Verification,
    pub registration: Registration,
}

impl Release {
    /// The release may be of earlier weights of the run: compare `weights_sha256`.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        files::read_json(&run.file(FILE))
    }
}

/// Exports and registers a network that is fit, or any network if a reason is given.
pub fn release(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    paths: &ExportPaths,
    reason: Option<&str>,
) -> Result<Release> {
    let fitness = record_verdict(trained, calibrated, reason)?;
    fitness.print();
    fitness.ensure_releasable()?;
    let Installed { bundle, verification } = export(trained, calibrated, paths)?;
    verification.print();
    let (run, tracking) = (trained.run, &trained.config.tracking);
    let registration = register(tracking, &run.file(""), &run.name(), &paths.bundle, &bundle)?;
    let manifest = bundle.manifest();
    let release = Release {
        weights_sha256: trained.weights_sha256.clone(),
        calibration_sha256: crate::measure::evaluate::calibration_digest(calibrated)?,
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

/// Applies the gates and writes the verdict, with the reason for releasing against it, if any.
pub fn record_verdict(
    trained: &TrainedRun,
    calibrated: &Calibrated,
    reason: Option<&str>,
) -> Result<Fitness> {
    let mut fitness = fitness::judge(trained, calibrated)?;
    fitness.accept(reason)?;
    fitness.write(trained.run)?;
    Ok(fitness)
}

/// Registers a bundle that was released elsewhere, if `verify` accepts it. Without `run`, it gets a new run
/// in `runs/`.
pub fn register_bundle(
    tracking: &crate::config::Tracking,
    folder: &Path,
    run: Option<&Path>,
    key: Option<&VerifyingKey>,
    onnxruntime: Option<&Path>,
) -> Result<Registration> {
    let verification = verify(folder, key, onnxruntime);
    if let Err(error) = verification.result() {
        verification.print();
        return Err(error.context(format!("{}: must not be registered", folder.display())));
    }
    let bundle = bundle::open(folder, key)?;
    let manifest = bundle.manifest();
    let run_name = format!("register-{}-{}", manifest.name, &bundle.digest()[..12]);
    let run_folder = run.map_or_else(|| Path::new("runs").join(&run_name), Path::to_owned);
    say(format!("{} {}, bundle digest {}", manifest.name, manifest.version, bundle.digest()));
    let tracking = tracking.clone().named_after(&manifest.name);
    register(&tracking, &run_folder, &run_name, folder, &bundle)
}
