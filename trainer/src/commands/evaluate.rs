//! `cxr-trainer evaluate`.

use super::options::RunOptions;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use cxr_trainer::data::folds::Fold;
use cxr_trainer::measure::evaluate::evaluate;
use cxr_trainer::measure::evaluate::external::evaluate_external;
use cxr_trainer::measure::evaluate::released::evaluate_bundle;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    /// Images to evaluate.
    #[arg(long, value_enum, default_value = "test")]
    fold: Images,
    /// Reason for using the test fold, recorded in the ledger.
    #[arg(long)]
    reason: Option<String>,
    /// Measures this bundle with ONNX Runtime instead of a run.
    #[arg(long, requires = "onnxruntime")]
    bundle: Option<PathBuf>,
    /// Output folder for --bundle, and for its ledger unless the configuration names one.
    /// Default: runs/evaluate-NAME-DIGEST, with the ledger in runs.
    #[arg(long, requires = "bundle")]
    output: Option<PathBuf>,
    /// Path of ONNX Runtime's shared library, for --bundle.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Images {
    /// The training fold; refused.
    Train,
    /// The fold that chose the epoch.
    Select,
    /// The fold that fitted calibration and operating point.
    Calibrate,
    /// The test fold: the data's published test split, or one that was drawn.
    Test,
    /// The external set, trainer.evaluation.external.
    External,
}

impl Images {
    const fn fold(self) -> Option<Fold> {
        match self {
            Self::Train => Some(Fold::Train),
            Self::Select => Some(Fold::Select),
            Self::Calibrate => Some(Fold::Calibrate),
            Self::Test => Some(Fold::Test),
            Self::External => None,
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let (fold, reason) = (arguments.fold.fold(), arguments.reason.as_deref());
    if let (Some(bundle), Some(library)) = (&arguments.bundle, &arguments.onnxruntime) {
        let fold = fold.context("--fold external needs a run; --bundle supports the other folds")?;
        let config = arguments.options.config()?;
        let folders = (bundle.as_path(), arguments.output.as_deref());
        return evaluate_bundle(&config, folders, library, fold, reason).map(drop);
    }
    let opened = arguments.options.open()?;
    let (trained, calibrated) = opened.calibrated()?;
    match fold {
        Some(fold) => evaluate(&trained, &calibrated, fold, reason).map(drop),
        None => evaluate_external(&trained, &calibrated).map(drop),
    }
}
