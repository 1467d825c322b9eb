//! The options that several commands take, and the run that they open.

use anyhow::Result;
use clap::Args;
use cxr_trainer::bundle::verify::public_key;
use cxr_trainer::config::Config;
use cxr_trainer::data::index::Index;
use cxr_trainer::measure::calibrate::Calibrated;
use cxr_trainer::release::revision::Request;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::run::device::DeviceChoice;
use cxr_trainer::tracking::Tracker;
use cxr_trainer::train::trained::TrainedRun;
use ed25519_dalek::VerifyingKey;
use std::path::{Path, PathBuf};
use tch::Device;

#[derive(Debug, Args)]
pub(crate) struct ConfigOptions {
    /// YAML file whose section `trainer` overrides the defaults. Repeatable; later files override earlier
    /// ones. `init` writes one.
    #[arg(long = "config", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DataOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Data set: train|val|test / CLASS, or CLASS. Default: trainer.data.root.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Replaces ../shared/data in every path of the configuration.
    #[arg(long, env = "CXR_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl DataOptions {
    /// The configuration, for a command that reads the data.
    pub(crate) fn config(&self) -> Result<Config> {
        let config = self.config_without_data()?;
        config.check_for_data()?;
        Ok(config)
    }

    pub(crate) fn config_without_data(&self) -> Result<Config> {
        let mut config = Config::load(&self.config.files, self.data_dir.as_deref())?;
        if let Some(root) = &self.data {
            root.clone_into(&mut config.data.root);
        }
        Ok(config)
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Run directory. Created if missing, otherwise continued.
    #[arg(long, default_value = "runs/default")]
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataOptions,
    /// Device: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceChoice,
}

impl RunOptions {
    pub(crate) fn config(&self) -> Result<Config> {
        self.data.config()
    }

    /// Read before `open`, which freezes the run directory even if configuration and data do not fit.
    pub(crate) fn index(&self) -> Result<Index> {
        RunDirectory::check_place(&self.run)?;
        Index::of(&self.config()?)
    }

    /// Checks first that the configuration states everything that a bundle needs.
    pub(crate) fn open_for_bundle(self) -> Result<OpenRun> {
        self.config()?.check_for_bundle()?;
        self.open()
    }

    pub(crate) fn open(self) -> Result<OpenRun> {
        let config = self.config()?;
        let device = self.device.open()?;
        let run = RunDirectory::open(&self.run, &config)?;
        let tracked = TrackedResults { config: config.clone(), run: run.clone() };
        Ok(OpenRun { config, directory: run, device, _tracked: tracked })
    }
}

#[derive(Debug, Args)]
pub(crate) struct BundleOptions {
    /// Folder of the bundle. Default: trainer.export.directory, or `bundle` in the run directory.
    #[arg(long)]
    pub(crate) bundle: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    pub(crate) onnxruntime: PathBuf,
}

/// For commands that sign a bundle without a run.
#[derive(Debug, Args)]
pub(crate) struct SigningOptions {
    /// Path of ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    pub(crate) onnxruntime: PathBuf,
    /// Ed25519 private key (PKCS#8 PEM). Default: trainer.export.signing_key.
    #[arg(long)]
    signing_key: Option<PathBuf>,
}

impl SigningOptions {
    pub(crate) fn signing_key<'a>(&'a self, config: &'a Config) -> &'a Path {
        self.signing_key.as_deref().unwrap_or(&config.export.signing_key)
    }
}

/// For commands that measure a released bundle on the data it was trained on, and write its next version.
#[derive(Debug, Args)]
pub(crate) struct RevisionOptions {
    /// The bundle to measure. It is replaced unless --out names another folder.
    #[arg(long)]
    bundle: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// Folder of the new bundle.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Version of the new bundle. Default: the next minor version.
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    signing: SigningOptions,
}

impl RevisionOptions {
    pub(crate) fn run<T>(&self, revise: impl FnOnce(&Config, &Request<'_>) -> Result<T>) -> Result<()> {
        let config = self.data.config()?;
        let request = Request {
            bundle: &self.bundle,
            out: self.out.as_ref().unwrap_or(&self.bundle),
            version: self.version.as_deref(),
            signing_key: self.signing.signing_key(&config),
            onnxruntime: &self.signing.onnxruntime,
        };
        revise(&config, &request).map(drop)
    }
}

/// For commands that verify a bundle.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// Folder of the bundle.
    pub(crate) bundle: PathBuf,
    /// Trusted Ed25519 public key (PEM), which must have signed it. Without it, the signature is not checked.
    #[arg(long)]
    public_key: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library. Without it, the graph is read but not run.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,
}

impl VerifyOptions {
    pub(crate) fn public_key(&self) -> Result<Option<VerifyingKey>> {
        self.public_key.as_deref().map(public_key).transpose()
    }
}

pub(crate) struct OpenRun {
    pub(crate) config: Config,
    pub(crate) directory: RunDirectory,
    pub(crate) device: Device,
    _tracked: TrackedResults,
}

impl OpenRun {
    pub(crate) fn trained(&self) -> Result<TrainedRun<'_>> {
        TrainedRun::open(&self.config, &self.directory, self.device)
    }

    pub(crate) fn calibrated(&self) -> Result<(TrainedRun<'_>, Calibrated)> {
        let trained = self.trained()?;
        let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
        Ok((trained, calibrated))
    }
}

/// Sends the results in the run directory to the tracking store when a command ends.
struct TrackedResults {
    config: Config,
    run: RunDirectory,
}

impl Drop for TrackedResults {
    fn drop(&mut self) {
        // Before anything is trained there are no results to compare.
        if self.run.best_weights().exists() && !std::thread::panicking() {
            Tracker::open(&self.config, &self.run).results();
        }
    }
}
