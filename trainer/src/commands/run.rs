//! `cxr-trainer run`: every command in its order.

use super::release::Reason;
use super::shared::{Common, Opened};
use super::{export, report as reporting};
use anyhow::Result;
use clap::Args;
use cxr_trainer::data::census::Census;
use cxr_trainer::data::eda::eda;
use cxr_trainer::data::folds::{Fold, Folds};
use cxr_trainer::data::index::Index;
use cxr_trainer::data::split::split;
use cxr_trainer::export::{compare_originals, signing_key};
use cxr_trainer::measure::calibrate::{Calibrated, calibrate, check_enough};
use cxr_trainer::measure::evaluate::external::{ExternalEvaluation, evaluate_external};
use cxr_trainer::measure::evaluate::{EvaluationFile, evaluate};
use cxr_trainer::measure::explain::explain;
use cxr_trainer::measure::robustness::model::ModelUnderTest;
use cxr_trainer::measure::robustness::{Part, robustness};
use cxr_trainer::progress::say;
use cxr_trainer::release::names::Names;
use cxr_trainer::release::{judged, release};
use cxr_trainer::report::{Form, report};
use cxr_trainer::run::RunDirectory;
use cxr_trainer::soup::Soup;
use cxr_trainer::train::train;
use cxr_trainer::train::trained::TrainedRun;

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
    /// Reason for using the test fold, recorded in the ledger.
    #[arg(long, default_value = "evaluation of a complete run")]
    reason: String,
    /// Allows replacing bundle and report of another run.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    release: Reason,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { common, output, reporting, reason, replace, release: despite } = arguments;
    RunDirectory::check_place(&common.run)?;
    let config = common.config()?;
    // Before the run directory is frozen with a configuration that does not fit the data.
    let index = Index::of(&config)?;
    let opened = common.open_for_bundle()?;
    let (config, run) = (&opened.config, &opened.run);
    let (mut paths, reports) = (output.paths(config, run, None), reporting.reports(run));
    // What would end the run hours later ends it now.
    Folds::forget_stale(run, &index)?;
    signing_key(&paths.signing_key)?;
    if Soup::load(run)?.is_none() {
        config.model.check_weights()?;
    }
    let names = Names {
        config,
        run,
        index: &index,
        bundle: &paths.bundle,
        bump: paths.bump,
        reports: Some(&reports),
        registers: true,
        replace,
    };
    names.check()?;

    step(1, "examine the data");
    eda(config, &index, run, opened.device)?;
    step(2, "split the data");
    split(config, &index, run)?;
    // Before a network is trained that could not be calibrated.
    let folds = Folds::frozen(&run.folds(), &index, config)?;
    check_enough(
        &Census::new(&index, &folds, &config.data)?,
        &config.calibration,
        config.data.calibrate_fraction,
    )?;
    drop((index, folds));
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
    let fitness = judged(&trained, &calibrated, despite.release_reason.as_deref())?;
    let verdict = fitness.ensure_releasable();
    if verdict.is_ok() {
        paths.report = Some(report(&trained, &elsewhere, &run.file(BUNDLE_REPORT), Form::TextAlone)?);
        release(&trained, &calibrated, &paths, despite.release_reason.as_deref())?;
    } else {
        fitness.report();
    }
    step(9, "report");
    // Also of a network that is not released: there it says why.
    report(&trained, &elsewhere, &reports, reporting.form())?;
    verdict
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
            say(format!("external set: not measured, {} is not a folder", external.root.display()));
        }
        Some(_) if ExternalEvaluation::load(trained, calibrated)?.is_none() => {
            evaluate_external(trained, calibrated)?;
        }
        _ => {}
    }
    Ok(())
}

fn shaken(opened: &Opened, calibrated: &Calibrated) -> Result<()> {
    let mut model = ModelUnderTest::of_run(opened.trained()?, calibrated, opened.device)?;
    robustness(&mut model, &opened.config.robustness.severities, &Part::ALL).map(drop)
}
