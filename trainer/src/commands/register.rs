//! `cxr-trainer register`.

use super::options::ConfigOptions;
use anyhow::Result;
use clap::Args;
use cxr_trainer::bundle::verify::public_key;
use cxr_trainer::config::Config;
use cxr_trainer::release::register_bundle;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Run directory to register it under. Default: a new one.
    #[arg(long)]
    run: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOptions,
    /// Ed25519 public key (PEM). Refuses a bundle that this key did not sign.
    #[arg(long)]
    public_key: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library. Without it, the graph is read but not run.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config.files, None)?;
    let key = arguments.public_key.as_deref().map(public_key).transpose()?;
    let Arguments { bundle, run, onnxruntime, .. } = arguments;
    register_bundle(&config.tracking, bundle, run.as_deref(), key.as_ref(), onnxruntime.as_deref()).map(drop)
}
