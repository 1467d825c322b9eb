//! What several commands share: the options that every one takes, and the run that they open.

use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::release::revision::Request;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::run::device::DeviceChoice;
use cxr_trainer::tracking::Tracker;
use cxr_trainer::train::trained::TrainedRun;
use std::path::{Path, PathBuf};
use tch::Device;

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Run directory. Created if missing, otherwise continued.
    #[arg(long, default_value = "runs/default")]
    pub(crate) run: PathBuf,
    /// YAML file whose section `trainer` overrides the defaults. Repeatable; later files override earlier ones. `init` writes one.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// Data set: train|val|test / CLASS, or CLASS. Default: trainer.data.root.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Replaces ../shared/data in every path of the configuration.
    #[arg(long, env = "CXR_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Device: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct BundleArguments {
    /// Folder of the bundle. Default: trainer.export.directory, or `bundle` in the run directory.
    #[arg(long)]
    pub(crate) bundle: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    pub(crate) onnxruntime: PathBuf,
}

/// What a command needs that makes a bundle without a run.
#[derive(Debug, Args)]
pub(crate) struct MakingArguments {
    /// Path of ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    pub(crate) onnxruntime: PathBuf,
    /// Ed25519 private key (PKCS#8 PEM). Default: trainer.export.signing_key.
    #[arg(long)]
    signing_key: Option<PathBuf>,
}

/// What a command needs that measures a released bundle again and writes its next version.
#[derive(Debug, Args)]
pub(crate) struct RevisionArguments {
    /// The bundle to measure. It is replaced unless --out names another folder.
    #[arg(long)]
    bundle: PathBuf,
    /// Data set on which the bundle was trained. Default: trainer.data.root.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Replaces ../shared/data in every path of the configuration.
    #[arg(long, env = "CXR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Folder of the new bundle.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Version of the new bundle. Default: the next minor version.
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    making: MakingArguments,
    /// YAML file whose section `trainer` overrides the defaults: the one the bundle was trained with. Repeatable; later files
    /// override earlier ones.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

impl RevisionArguments {
    /// The configuration with the command line over it.
    pub(crate) fn config(&self) -> Result<Config> {
        for_data(&self.config, self.data.as_deref(), self.data_dir.as_deref())
    }

    /// What is asked for.
    pub(crate) fn request<'a>(&'a self, config: &'a Config) -> Request<'a> {
        Request {
            bundle: &self.bundle,
            out: self.out.as_ref().unwrap_or(&self.bundle),
            version: self.version.as_deref(),
            signing_key: self.making.signing_key(config),
            onnxruntime: &self.making.onnxruntime,
        }
    }
}

/// The configuration of a command that reads the data.
fn for_data(files: &[PathBuf], data: Option<&Path>, data_dir: Option<&Path>) -> Result<Config> {
    let config = configured(files, data, data_dir)?;
    config.check_for_data()?;
    Ok(config)
}

fn configured(files: &[PathBuf], data: Option<&Path>, data_dir: Option<&Path>) -> Result<Config> {
    let mut config = Config::load(files, data_dir)?;
    if let Some(root) = data {
        root.clone_into(&mut config.data.root);
    }
    Ok(config)
}

impl MakingArguments {
    /// The key that signs.
    pub(crate) fn signing_key<'a>(&'a self, config: &'a Config) -> &'a Path {
        self.signing_key.as_deref().unwrap_or(&config.export.signing_key)
    }
}

/// What every command begins with.
pub(crate) struct Opened {
    pub(crate) config: Config,
    pub(crate) run: RunDirectory,
    pub(crate) device: Device,
    _tracked: TrackedResults,
}

/// Tracks, when a command ends, what it left in the run directory: no command needs to do so itself.
struct TrackedResults {
    config: Config,
    run: RunDirectory,
}

impl Drop for TrackedResults {
    fn drop(&mut self) {
        // A command that failed before anything was trained has left nothing to compare.
        if self.run.best_weights().exists() && !std::thread::panicking() {
            Tracker::open(&self.config, &self.run).results();
        }
    }
}

impl Common {
    /// The configuration with the command line over it, of a command that reads the data.
    pub(crate) fn config(&self) -> Result<Config> {
        for_data(&self.config, self.data.as_deref(), self.data_dir.as_deref())
    }

    /// The same of a command that reads no data.
    pub(crate) fn config_without_data(&self) -> Result<Config> {
        configured(&self.config, self.data.as_deref(), self.data_dir.as_deref())
    }

    /// The same of a command that writes a bundle: what it cannot say is refused before anything is computed.
    pub(crate) fn open_for_bundle(self) -> Result<Opened> {
        self.config()?.check_for_bundle()?;
        self.open()
    }

    /// Configuration, device and run directory.
    pub(crate) fn open(self) -> Result<Opened> {
        let config = self.config()?;
        let device = self.device.open()?;
        let run = RunDirectory::open(&self.run, &config)?;
        let tracked = TrackedResults { config: config.clone(), run: run.clone() };
        Ok(Opened { config, run, device, _tracked: tracked })
    }
}

impl Opened {
    /// The best network of the run.
    pub(crate) fn trained(&self) -> Result<TrainedRun<'_>> {
        TrainedRun::open(&self.config, &self.run, self.device)
    }
}
