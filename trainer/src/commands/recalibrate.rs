//! `cxr-trainer recalibrate`.

use super::shared::MakingArguments;
use anyhow::Result;
use clap::Args;
use cxr_trainer::config::Config;
use cxr_trainer::export::revision;
use cxr_trainer::recalibrate::{Request, recalibrate};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The bundle whose probabilities are to be mended; it stays as it is.
    #[arg(long)]
    bundle: PathBuf,
    /// The log with its labels as the service gives it out: `cxr-service audit export`, or `GET /v1/predictions` with format=ndjson or
    /// format=csv; - is standard input. A table of your own needs the columns `logit` and `label`, and where known the others under
    /// the log's names.
    #[arg(long)]
    labels: PathBuf,
    /// The new bundle's folder.
    #[arg(long)]
    out: PathBuf,
    /// The new bundle's version; the next minor one unless given.
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    making: MakingArguments,
    /// A YAML file whose section `trainer` goes over the defaults; may be repeated, the later over the earlier.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Writes the bundle although labels are too few or the new calibration is not shown to be better; its card says so.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config, None)?;
    let request = Request {
        revision: revision::Request {
            bundle: &arguments.bundle,
            out: &arguments.out,
            version: arguments.version.as_deref(),
            signing_key: arguments.making.signing_key(&config),
            onnxruntime: &arguments.making.onnxruntime,
        },
        labels: &arguments.labels,
        force: arguments.force,
    };
    recalibrate(&config, &request).map(drop)
}
