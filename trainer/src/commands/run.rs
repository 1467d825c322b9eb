//! `cxr-trainer run`: every command in its order.

use super::shared::{Common, Opened};
use super::{export, report as reporting};
use anyhow::Result;
use clap::Args;
use cxr_trainer::calibrate::{Calibrated, calibrate};
use cxr_trainer::console::say;
use cxr_trainer::dataset::folds::Fold;
use cxr_trainer::dataset::index::Index;
use cxr_trainer::eda::eda;
use cxr_trainer::evaluate::external::{ExternalEvaluation, evaluate_external};
use cxr_trainer::evaluate::{EvaluationFile, evaluate};
use cxr_trainer::explain::explain;
use cxr_trainer::export::compare_originals;
use cxr_trainer::release::release;
use cxr_trainer::report::{Form, report};
use cxr_trainer::robustness::subject::Subject;
use cxr_trainer::robustness::{Part, robustness};
use cxr_trainer::soup::Soup;
use cxr_trainer::split::split;
use cxr_trainer::train::train;
use cxr_trainer::trained::TrainedRun;

/// Steps, for the progress.
const N_STEPS: usize = 9;
/// Folder of the run in which the bundle's own copy of the report is written.
const BUNDLE_REPORT: &str = "bundle-report";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    output: export::Output,
    #[command(flatten)]
    reporting: reporting::Options,
    /// Why the test split is looked at; goes into the ledger.
    #[arg(long, default_value = "evaluation of a complete run")]
    reason: String,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { common, output, reporting, reason } = arguments;
    let config = common.config()?;
    // Before the run directory is frozen with a configuration that does not fit the data.
    let index = Index::of(&config)?;
    let opened = common.open_for_bundle()?;
    let (config, run) = (&opened.config, &opened.run);
    let mut paths = output.paths(config, run, None);

    step(1, "examine the data");
    eda(config, &index, run, opened.device)?;
    step(2, "divide the data");
    split(config, &index, run)?;
    drop(index);
    step(3, "train");
    // A mean of other runs has no training of its own.
    match Soup::load(run)? {
        Some(_) => say("the weights are a mean of runs (soup.json)"),
        None => train(config, run, opened.device)?,
    }
    let trained = opened.trained()?;
    step(4, "calibrate");
    let calibrated = calibrate(&trained)?;
    step(5, "evaluate");
    evaluations(&trained, &calibrated, &reason)?;
    step(6, "measure robustness");
    shaken(&opened, &calibrated)?;
    step(7, "explain");
    explain(&trained, &calibrated, &paths.onnxruntime)?;
    step(8, "release");
    compare_originals(&trained, &calibrated, &paths.onnxruntime)?;
    let elsewhere = reporting.elsewhere();
    paths.report = Some(report(&trained, &elsewhere, &run.file(BUNDLE_REPORT), Form::TextAlone)?);
    release(&trained, &calibrated, &paths)?;
    step(9, "report");
    report(&trained, &elsewhere, &reporting.reports, reporting.form()).map(drop)
}

fn step(number: usize, what: &str) {
    say(format!("step {number}/{N_STEPS}: {what}"));
}

fn evaluations(trained: &TrainedRun, calibrated: &Calibrated, reason: &str) -> Result<()> {
    for fold in [Fold::Select, Fold::Calibrate, Fold::Test] {
        // A run that is repeated unchanged has nothing new to see, on the test split least of all.
        if EvaluationFile::load(trained, calibrated, fold)?.is_none() {
            evaluate(trained, calibrated, fold, Some(reason))?;
        }
    }
    match &trained.config.evaluation.external {
        Some(external) if !external.root.is_dir() => {
            say(format!("external set: not measured, {} is no folder", external.root.display()));
        }
        Some(_) if ExternalEvaluation::load(trained, calibrated)?.is_none() => {
            evaluate_external(trained, calibrated)?;
        }
        _ => {}
    }
    Ok(())
}

fn shaken(opened: &Opened, calibrated: &Calibrated) -> Result<()> {
    let mut subject = Subject::of_run(opened.trained()?, calibrated, opened.device)?;
    robustness(&mut subject, &opened.config.robustness.severities, &Part::ALL).map(drop)
}
