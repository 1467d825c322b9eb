//! `cxr-trainer run`: every command in its order.

use super::export;
use super::shared::Common;
use anyhow::Result;
use clap::Args;
use cxr_trainer::calibrate::calibrate;
use cxr_trainer::dataset::folds::Fold;
use cxr_trainer::evaluate::{EvaluationFile, evaluate};
use cxr_trainer::export::export;
use cxr_trainer::train::train;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    output: export::Output,
    /// Why the test split is looked at; goes into the ledger.
    #[arg(long, default_value = "evaluation of a complete run")]
    reason: String,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let opened = arguments.common.open()?;
    train(&opened.config, &opened.run, opened.device)?;
    let trained = opened.trained()?;
    let calibrated = calibrate(&trained)?;
    for fold in [Fold::Select, Fold::Calibrate, Fold::Test] {
        // A run that is repeated unchanged has nothing new to see, on the test split least of all.
        if EvaluationFile::load(&trained, &calibrated, fold)?.is_none() {
            evaluate(&trained, &calibrated, fold, Some(&arguments.reason))?;
        }
    }
    export(&trained, &calibrated, &arguments.output.paths(&opened.config))
}
