//! `cxr-trainer recalibrate`.

use super::options::{ConfigOptions, SigningOptions};
use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::release::recalibrate::{Request, recalibrate};
use cxr_trainer::release::revision;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The bundle to recalibrate. It is not changed.
    #[arg(long)]
    bundle: PathBuf,
    /// Labelled log from the service, or - for standard input: `cxr-service audit export`, or `GET
    /// /v1/predictions` with format=ndjson or format=csv. A table of your own needs the columns `logit` and
    /// `label`; name any others as the log does.
    #[arg(long)]
    labels: PathBuf,
    /// Folder of the new bundle.
    #[arg(long)]
    out: PathBuf,
    /// Version of the new bundle. Default: the next minor version.
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    signing: SigningOptions,
    #[command(flatten)]
    config: ConfigOptions,
    /// Writes the bundle even if there are too few labels or no evidence that the new calibration is better;
    /// its card says so.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config.files, None)?;
    let request = Request {
        revision: revision::Request {
            bundle: &arguments.bundle,
            out: &arguments.out,
            version: arguments.version.as_deref(),
            signing_key: arguments.signing.signing_key(&config),
            onnxruntime: &arguments.signing.onnxruntime,
        },
        labels: &arguments.labels,
        force: arguments.force,
    };
    recalibrate(&config, &request).map(drop)
}
