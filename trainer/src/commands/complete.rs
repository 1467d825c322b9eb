//! `cxr-trainer complete`.

use super::shared::MakingArguments;
use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::export::complete::{Request, complete_bundle};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The bundle that is measured; replaced unless --out names another folder.
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
    #[command(flatten)]
    making: MakingArguments,
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
        signing_key: arguments.making.signing_key(&config),
        onnxruntime: &arguments.making.onnxruntime,
    };
    complete_bundle(&config, &request)
}
