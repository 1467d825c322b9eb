//! `cxr-trainer quantise`.

use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::export::int8::{Request, quantise_bundle};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The bundle that gets an int8 variant; replaced unless --out names another folder.
    #[arg(long)]
    bundle: PathBuf,
    /// The dataset that the bundle was trained with; trainer.data.root unless given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Stands for ../shared/data in every path of the configuration.
    #[arg(long, env = "CXR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The new bundle's folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
    /// Ed25519 private key, PKCS#8 PEM; trainer.export.signing_key unless given.
    #[arg(long)]
    signing_key: Option<PathBuf>,
    /// A YAML file whose section `trainer` goes over config/default.yaml; the one that the bundle was trained with.
    #[arg(long)]
    config: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut config = Config::load(arguments.config.as_deref(), arguments.data_dir.as_deref())?;
    if let Some(root) = &arguments.data {
        config.data.root.clone_from(root);
    }
    let request = Request {
        bundle: &arguments.bundle,
        out: arguments.out.as_ref().unwrap_or(&arguments.bundle),
        signing_key: arguments.signing_key.as_deref().unwrap_or(&config.export.signing_key),
        onnxruntime: &arguments.onnxruntime,
    };
    quantise_bundle(&config, &request).map(drop)
}
