//! `cxr-trainer explain`.

use super::shared::Common;
use anyhow::Result;
use clap::Args;
use cxr_trainer::measure::calibrate::Calibrated;
use cxr_trainer::measure::explain::explain;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Path of ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let opened = arguments.common.open()?;
    let trained = opened.trained()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    explain(&trained, &calibrated, &arguments.onnxruntime).map(drop)
}
