//! `cxr-trainer recalibrate`.

use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::recalibrate::{Request, recalibrate};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The bundle whose probabilities are to be mended; it stays as it is.
    #[arg(long)]
    bundle: PathBuf,
    /// Labelled predictions, CSV or NDJSON (by the file's ending): columns `logit` and `label`, and where known `id`,
    /// `subject` (or `patient`, `pseudonym`), `bundle_digest`, `variant`, `outcome`, `decision` as the service's log names them.
    #[arg(long)]
    labels: PathBuf,
    /// The new bundle's folder.
    #[arg(long)]
    out: PathBuf,
    /// The new bundle's version: a later minor version than the old one's.
    #[arg(long)]
    version: String,
    /// Ed25519 private key, PKCS#8 PEM; trainer.export.signing_key unless given.
    #[arg(long)]
    signing_key: Option<PathBuf>,
    /// A YAML file whose section `trainer` goes over the defaults; may be repeated, the later over the earlier.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Writes the bundle although labels are too few or the new calibration is not shown to be better.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config, None)?;
    let request = Request {
        bundle: &arguments.bundle,
        labels: &arguments.labels,
        out: &arguments.out,
        version: &arguments.version,
        signing_key: arguments.signing_key.as_deref().unwrap_or(&config.export.signing_key),
        force: arguments.force,
    };
    recalibrate(&config, &request).map(drop)
}
