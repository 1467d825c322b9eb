//! `cxr-trainer evaluate`.

use super::shared::Common;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use cxr_trainer::calibrate::Calibrated;
use cxr_trainer::dataset::folds::Fold;
use cxr_trainer::evaluate::evaluate;
use cxr_trainer::evaluate::external::evaluate_external;
use cxr_trainer::released::evaluate_bundle;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The images to measure on.
    #[arg(long, value_enum, default_value = "test")]
    fold: Images,
    /// Why the test split is looked at; goes into the ledger.
    #[arg(long)]
    reason: Option<String>,
    /// Measures this bundle through ONNX Runtime instead of a run.
    #[arg(long, requires = "onnxruntime")]
    bundle: Option<PathBuf>,
    /// Where the figures of --bundle go, and its line of the ledger unless the configuration names a ledger;
    /// without it runs/evaluate-NAME-DIGEST, and the ledger in runs.
    #[arg(long, requires = "bundle")]
    output: Option<PathBuf>,
    /// ONNX Runtime's shared library, for --bundle.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Images {
    /// The fold that trains; refused.
    Train,
    /// The fold that chose the epoch.
    Select,
    /// The fold that fitted calibration and operating point.
    Calibrate,
    /// The fold that tests: the data's own test split, or one that was drawn.
    Test,
    /// The set of trainer.evaluation.external.
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
        let fold = fold.context("--bundle measures folds; --fold external wants a run")?;
        let config = arguments.common.config()?;
        let places = (bundle.as_path(), arguments.output.as_deref());
        return evaluate_bundle(&config, places, library, fold, reason).map(drop);
    }
    let opened = arguments.common.open()?;
    let trained = opened.trained()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    match fold {
        Some(fold) => evaluate(&trained, &calibrated, fold, reason).map(drop),
        None => evaluate_external(&trained, &calibrated).map(drop),
    }
}
