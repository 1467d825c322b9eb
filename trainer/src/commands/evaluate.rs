//! `cxr-trainer evaluate`.

use super::shared::Common;
use anyhow::Result;
use clap::Args;
use cxr_trainer::calibrate::Calibrated;
use cxr_trainer::dataset::folds::Fold;
use cxr_trainer::evaluate::evaluate;
use cxr_trainer::released::evaluate_bundle;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The fold to measure.
    #[arg(long, value_enum, default_value = "test")]
    fold: Fold,
    /// Why the test split is looked at; goes into the ledger.
    #[arg(long)]
    reason: Option<String>,
    /// Measures this bundle through ONNX Runtime instead of a run.
    #[arg(long, requires = "onnxruntime")]
    bundle: Option<PathBuf>,
    /// ONNX Runtime's shared library, for --bundle.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let reason = arguments.reason.as_deref();
    if let (Some(bundle), Some(library)) = (&arguments.bundle, &arguments.onnxruntime) {
        let config = arguments.common.config()?;
        return evaluate_bundle(&config, bundle, library, arguments.fold, reason).map(drop);
    }
    let opened = arguments.common.open()?;
    let trained = opened.trained()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    evaluate(&trained, &calibrated, arguments.fold, reason).map(drop)
}
