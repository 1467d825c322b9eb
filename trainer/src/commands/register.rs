//! `cxr-trainer register`.

use anyhow::Result;
use clap::Args;
use cxr::bundle::Trust;
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
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config, None)?;
    let trust = match &arguments.public_key {
        Some(file) => Trust::SignedBy(vec![public_key(file)?]),
        None => Trust::Unsigned,
    };
    register_bundle(&config.tracking, &arguments.bundle, arguments.run.as_deref(), &trust).map(drop)
}
