//! `cxr-trainer run`: every step, from the data to the report.
//!
//! The steps are also coupled through files in the run directory. The gates, the export and the report do not
//! get the measurements as arguments: they read `evaluation-*.json` and its like, which earlier steps wrote.

use super::options::RunOptions;
use super::release::Reason;
use super::{export, report as reporting};
use anyhow::Result;
use clap::Args;
use cxr_trainer::data::census::Census;
use cxr_trainer::data::eda::eda;
use cxr_trainer::data::folds::{Fold, Folds};
use cxr_trainer::data::split::split;
use cxr_trainer::export::{compare_originals, signing_key};
use cxr_trainer::measure::calibrate::{Calibrated, calibrate, check_enough};
use cxr_trainer::measure::evaluate::external::{ExternalEvaluation, evaluate_external};
use cxr_trainer::measure::evaluate::{EvaluationFile, evaluate};
use cxr_trainer::measure::explain::explain;
use cxr_trainer::measure::robustness::model::ModelUnderTest;
use cxr_trainer::measure::robustness::{Part, robustness};
use cxr_trainer::progress::say;
use cxr_trainer::release::destinations::Destinations;
use cxr_trainer::release::{record_verdict, release};
use cxr_trainer::report::{Form, report};
use cxr_trainer::train::train;
use cxr_trainer::train::trained::TrainedRun;

const N_STEPS: usize = 9;
/// Folder in the run directory for the report that goes into the bundle.
const BUNDLE_REPORT: &str = "bundle-report";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    #[command(flatten)]
    output: export::Output,
    #[command(flatten)]
    reporting: reporting::Contents,
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
    let Arguments { options, output, reporting, reason, replace, release: Reason { release_reason } } =
        arguments;
    let index = options.index()?;
    let opened = options.open_for_bundle()?;
    let (config, run) = (&opened.config, &opened.directory);
    let (mut paths, reports) = (output.paths(config, run, None), reporting.reports(run));
    // Fail now on what would fail after hours of training.
    Folds::forget_stale(run, &index)?;
    signing_key(&paths.signing_key)?;
    config.model.check_weights()?;
    let destinations = Destinations {
        config,
        run,
        index: &index,
        bundle: &paths.bundle,
        bump: paths.bump,
        reports: Some(&reports),
        registers: true,
        replace,
    };
    destinations.check()?;

    step(1, "examine the data");
    eda(config, &index, run, opened.device)?;
    step(2, "split the data");
    split(config, &index, run)?;
    // Fail before training if the calibrate fold is too small.
    let folds = Folds::frozen(&run.folds(), &index, config)?;
    check_enough(
        &Census::new(&index, &folds, &config.data)?,
        &config.calibration,
        config.data.calibrate_fraction,
    )?;
    drop((index, folds));
    step(3, "train");
    train(config, run, opened.device)?;
    let trained = opened.trained()?;
    step(4, "calibrate");
    let calibrated = calibrate(&trained)?;
    step(5, "evaluate");
    evaluations(&trained, &calibrated, &reason)?;
    step(6, "measure robustness");
    let mut model = ModelUnderTest::of_run(opened.trained()?, &calibrated, opened.device)?;
    robustness(&mut model, &config.robustness.severities, &Part::ALL)?;
    drop(model);
    step(7, "explain");
    explain(&trained, &calibrated, &paths.onnxruntime)?;
    step(8, "release");
    compare_originals(&trained, &calibrated, &paths.onnxruntime)?;
    let elsewhere = reporting.elsewhere();
    // The report for the bundle repeats the verdict, so the verdict must be recorded before that report.
    // `release`, a command of its own too, records the same one again.
    let fitness = record_verdict(&trained, &calibrated, release_reason.as_deref())?;
    let releasable = fitness.ensure_releasable();
    if releasable.is_ok() {
        paths.report = Some(report(&trained, &elsewhere, &run.file(BUNDLE_REPORT), Form::TextAlone)?);
        release(&trained, &calibrated, &paths, release_reason.as_deref())?;
    } else {
        fitness.print();
    }
    step(9, "report");
    // Written even if the network is not released: it states why.
    report(&trained, &elsewhere, &reports, reporting.form())?;
    releasable
}

fn step(number: usize, what: &str) {
    say(format!("step {number}/{N_STEPS}: {what}"));
}

fn evaluations(trained: &TrainedRun, calibrated: &Calibrated, reason: &str) -> Result<()> {
    for fold in [Fold::Select, Fold::Calibrate, Fold::Test] {
        // Repeating an unchanged run must not look at the test fold again.
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
