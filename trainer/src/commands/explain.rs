//! `cxr-trainer explain`.

use super::options::RunOptions;
use anyhow::Result;
use clap::Args;
use cxr_trainer::measure::explain::explain;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    /// Path of ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let opened = arguments.options.open()?;
    let (trained, calibrated) = opened.calibrated()?;
    explain(&trained, &calibrated, &arguments.onnxruntime).map(drop)
}
