//! `cxr-trainer register`.

use super::options::{ConfigOptions, VerifyOptions};
use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::release::register_bundle;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    verify: VerifyOptions,
    /// Run directory to register it under. Default: a new one.
    #[arg(long)]
    run: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(crate) fn run(Arguments { verify, run, config }: &Arguments) -> Result<()> {
    let tracking = Config::load(&config.files, None)?.tracking;
    let (key, library) = (verify.public_key()?, verify.onnxruntime.as_deref());
    register_bundle(&tracking, &verify.bundle, run.as_deref(), key.as_ref(), library).map(drop)
}
