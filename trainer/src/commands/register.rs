//! `cxr-trainer register`.

use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::release::register_bundle;
use cxr_trainer::verify::public_key;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The bundle's folder.
    bundle: PathBuf,
    /// The run directory that it is registered under; one of its own unless given.
    #[arg(long)]
    run: Option<PathBuf>,
    /// A YAML file whose section `trainer` goes over the defaults; may be repeated, the later over the earlier.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Ed25519 public key, PEM: refuses a bundle that it did not sign.
    #[arg(long)]
    public_key: Option<PathBuf>,
    /// ONNX Runtime's shared library. Without it the graph is read and not run.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config, None)?;
    let key = arguments.public_key.as_deref().map(public_key).transpose()?;
    let Arguments { bundle, run, onnxruntime, .. } = arguments;
    register_bundle(&config.tracking, bundle, run.as_deref(), key.as_ref(), onnxruntime.as_deref()).map(drop)
}
