//! The command line of the trainer. Each command is a file in `commands/`; what the commands do is in the library.

mod commands;

use anyhow::Result;
use clap::{Parser, Subcommand};
use commands::shared::Common;
use commands::{calibrate, consistency, evaluate, export, recalibrate, robustness, run, train, tune};
use cxr_trainer::allocator;

/// Trains, calibrates, evaluates and exports the pneumonia classifier.
///
/// Everything is read from config/default.yaml, so start it in the repository's root.
#[derive(Debug, Parser)]
#[command(name = "cxr-trainer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a network, or goes on with a run that was interrupted.
    #[command(after_help = "Example:\n  cxr-trainer train --run runs/first --data ../shared/data/kermany224")]
    Train(Common),
    /// Fits probability, operating point and reference on the calibrate fold.
    #[command(after_help = "Example:\n  cxr-trainer calibrate --run runs/first")]
    Calibrate(Common),
    /// Measures a fold at the operating point, with 95 % intervals.
    #[command(
        after_help = "Example:\n  cxr-trainer evaluate --run runs/first --fold select\n  cxr-trainer evaluate --run runs/first --fold external\n  cxr-trainer evaluate --run runs/first --fold test --reason 'release 1.0.0'\n  cxr-trainer evaluate --bundle models/default --fold test --reason 'acceptance at our site'"
    )]
    Evaluate(evaluate::Arguments),
    /// Writes the signed bundle, if ONNX Runtime reproduces the network.
    #[command(
        after_help = "Example:\n  cxr-trainer export --run runs/first --onnxruntime lib/libonnxruntime.so --bundle models/default"
    )]
    Export(export::Arguments),
    /// Scores untouched originals and their small copies with a bundle, the service's way.
    #[command(
        after_help = "Example:\n  cxr-trainer consistency --bundle models/default --originals ../shared/data/kermany_originals"
    )]
    Consistency(consistency::Arguments),
    /// Corrupts, masks and marks the select fold and says what the figures become.
    #[command(after_help = "Example:\n  cxr-trainer robustness --run runs/first")]
    Robustness(Common),
    /// Searches for hyperparameters; many processes and machines can work on one study.
    #[command(
        after_help = "Example:\n  cxr-trainer tune --study first --workers 2 --budget-cpu-hours 2\n  cxr-trainer tune --study first --status\n  cxr-trainer tune --study runs/first --store postgres://user@host/database"
    )]
    Tune(tune::Arguments),
    /// Fits probability and operating point of a bundle to labels that its service logged, and writes the next version.
    #[command(
        after_help = "Example:\n  cxr-trainer recalibrate --bundle models/default --labels labels.csv --out models/site --version 1.1.0"
    )]
    Recalibrate(recalibrate::Arguments),
    /// Does all of it: train, calibrate, evaluate every fold, export.
    #[command(
        after_help = "Example:\n  cxr-trainer run --run runs/first --onnxruntime lib/libonnxruntime.so"
    )]
    Run(run::Arguments),
}

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    match Cli::parse().command {
        Command::Train(common) => train::run(common),
        Command::Calibrate(common) => calibrate::run(common),
        Command::Evaluate(arguments) => evaluate::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Consistency(arguments) => consistency::run(arguments),
        Command::Robustness(common) => robustness::run(common),
        Command::Tune(arguments) => tune::run(arguments),
        Command::Recalibrate(arguments) => recalibrate::run(&arguments),
        Command::Run(arguments) => run::run(arguments),
    }
}
