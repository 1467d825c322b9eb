//! The command line of the trainer; the work is done by the library.

mod commands;

use anyhow::Result;
use clap::{Parser, Subcommand};
use commands::options::{RevisionOptions, RunOptions, VerifyOptions};
use commands::{
    benchmark, consistency, evaluate, explain, export, init, recalibrate, register, release, report,
    robustness, run, track, tune, verify,
};
use cxr_trainer::data::eda::eda;
use cxr_trainer::data::split::split;
use cxr_trainer::measure::calibrate::calibrate;
use cxr_trainer::release::complete::complete_bundle;
use cxr_trainer::release::quantise::quantise_bundle;
use cxr_trainer::run::{RunDirectory, allocator};
use cxr_trainer::train::train;

/// Trains, calibrates, evaluates and exports a classifier of chest radiographs.
///
/// Start with `init`: it writes a configuration for a folder of radiographs. Pass that to the other commands
/// with --config.
#[derive(Debug, Parser)]
#[command(
    name = "cxr-trainer",
    version,
    after_help = "Example:\n  cxr-trainer init radiographs --out cxr.yaml\n  cxr-trainer run --config cxr.yaml --run runs/first"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Examines a folder of radiographs, asks what it cannot find out itself, and writes a configuration.
    ///
    /// Asks for what the options leave open, on a terminal or line by line on standard input. An empty line
    /// accepts the suggestion in brackets.
    #[command(
        after_help = "Example:\n  cxr-trainer init radiographs --out cxr.yaml\n  cxr-trainer init radiographs --class NORMAL=negative --class PNEUMONIA=positive --patient-pattern '^site-([0-9]+)-' --name 'Our hospital 2024' --intended-use 'Decision support for radiologists who read frontal chest radiographs of adults for pneumonia' --ages 18-120 --views PA,AP --signing-key cxr-signing-key.pem < /dev/null"
    )]
    Init(Box<init::Arguments>),
    /// Examines the data: counts, properties, duplicates, artefacts, label noise.
    #[command(after_help = "Example:\n  cxr-trainer eda --config cxr.yaml --run runs/first")]
    Eda(RunOptions),
    /// Splits the data into folds by patient and class, and freezes them if nothing leaks.
    #[command(
        after_help = "Example:\n  cxr-trainer split --config cxr.yaml --run runs/first\n  cxr-trainer split --config config/kermany.yaml --config config/resplit.yaml --run runs/resplit"
    )]
    Split(RunOptions),
    /// Trains a network, or continues an interrupted run.
    #[command(after_help = "Example:\n  cxr-trainer train --config cxr.yaml --run runs/first")]
    Train(RunOptions),
    /// Fits calibration, operating point and out-of-distribution reference on the calibrate fold.
    #[command(after_help = "Example:\n  cxr-trainer calibrate --config cxr.yaml --run runs/first")]
    Calibrate(RunOptions),
    /// Evaluates a fold at the operating point, with 95 % intervals.
    #[command(
        after_help = "Example:\n  cxr-trainer evaluate --config cxr.yaml --run runs/first --fold select\n  cxr-trainer evaluate --config cxr.yaml --run runs/first --fold external\n  cxr-trainer evaluate --config cxr.yaml --run runs/first --fold test --reason 'release 1.0.0'\n  cxr-trainer evaluate --config cxr.yaml --bundle models/default --fold test --reason 'acceptance at our site'"
    )]
    Evaluate(evaluate::Arguments),
    /// Writes the signed bundle if ONNX Runtime reproduces the network's outputs.
    #[command(
        after_help = "Example:\n  cxr-trainer export --config cxr.yaml --run runs/first --onnxruntime lib/libonnxruntime.so\n  cxr-trainer export --config cxr.yaml --run runs/first --onnxruntime lib/libonnxruntime.so --bundle models/mine --replace"
    )]
    Export(export::Arguments),
    /// Exports a network that passes the gates, verifies the bundle independently, and registers it.
    #[command(
        after_help = "Example:\n  cxr-trainer release --config cxr.yaml --run runs/first --onnxruntime lib/libonnxruntime.so --bump minor\n  cxr-trainer release --config cxr.yaml --run runs/first --onnxruntime lib/libonnxruntime.so --release-reason 'for a reader study, not for patients'"
    )]
    Release(release::Arguments),
    /// Verifies a bundle: signature, digests, manifest, graph, golden outputs, heatmaps. Stops at the first
    /// mismatch.
    #[command(
        after_help = "Example:\n  cxr-trainer verify models/default --public-key config/development-signing-key.pub.pem --onnxruntime lib/libonnxruntime.so"
    )]
    Verify(VerifyOptions),
    /// Registers a released bundle as a model version in MLflow or the local store.
    #[command(
        after_help = "Example:\n  cxr-trainer register models/default --public-key config/development-signing-key.pub.pem"
    )]
    Register(register::Arguments),
    /// Sends tracking records that could not be sent during a run, and shows what the store has.
    #[command(
        after_help = "Example:\n  cxr-trainer track --config cxr.yaml --run runs/first\n  cxr-trainer track --config cxr.yaml --run runs/first --show"
    )]
    Track(track::Arguments),
    /// Scores unmodified originals and their small copies with a bundle, as the service does.
    #[command(
        after_help = "Example:\n  cxr-trainer consistency --config config/kermany.yaml --bundle models/default"
    )]
    Consistency(consistency::Arguments),
    /// Adds the measurements that an older bundle lacks (heatmap scale, referred images, deep files), and
    /// writes its next version.
    #[command(
        after_help = "Example:\n  cxr-trainer complete --config config/kermany.yaml --bundle models/default"
    )]
    Complete(RevisionOptions),
    /// Measures how corruptions, shortcuts and mitigations change the scores of the select fold.
    #[command(
        after_help = "Example:\n  cxr-trainer robustness --config cxr.yaml --run runs/first\n  cxr-trainer robustness --config cxr.yaml --run runs/first --parts corruptions --severities 5\n  cxr-trainer robustness --config config/kermany.yaml --bundle models/default --output runs/default-bundle\n  cxr-trainer robustness --compare runs/first runs/second"
    )]
    Robustness(robustness::Arguments),
    /// Computes heatmaps, and tests whether they are faithful to the network.
    #[command(after_help = "Example:\n  cxr-trainer explain --config cxr.yaml --run runs/first")]
    Explain(explain::Arguments),
    /// Searches hyperparameters. Several processes and machines can share one study.
    #[command(
        after_help = "Example:\n  cxr-trainer tune --config cxr.yaml --study first --workers 2 --budget-cpu-hours 2\n  cxr-trainer tune --study first --status\n  cxr-trainer tune --config cxr.yaml --study runs/first --store postgres://user@host/database"
    )]
    Tune(tune::Arguments),
    /// Measures the speed and memory of training, or makes a bundle for measuring the speed of inference.
    #[command(
        after_help = "Example:\n  cxr-trainer benchmark training --config cxr.yaml --run runs/bench\n  cxr-trainer benchmark bundle --architecture densenet121 --onnxruntime lib/libonnxruntime.so --out target/benchmark/densenet121"
    )]
    Benchmark(benchmark::Arguments),
    /// Adds an int8 variant to a bundle, with its own calibration, operating point and golden outputs.
    #[command(
        after_help = "Example:\n  cxr-trainer quantise --config config/kermany.yaml --bundle models/default\n  cxr-trainer quantise --config config/kermany.yaml --bundle models/default --out models/int8 --version 1.9.0"
    )]
    Quantise(RevisionOptions),
    /// Refits a bundle's calibration and operating point to labels logged by its service, and writes the next
    /// version.
    #[command(
        after_help = "Example:\n  cxr-service audit export --out log.ndjson\n  cxr-trainer recalibrate --bundle /etc/cxr/model --labels log.ndjson --signing-key bundle.key --out /etc/cxr/model-next\n\nReads an export of the audit log, or the answer of GET /v1/predictions?format=ndjson (or csv), unchanged. The latest label of an image counts."
    )]
    Recalibrate(recalibrate::Arguments),
    /// Writes the technical report from the results of the other commands.
    #[command(
        after_help = "Example:\n  cxr-trainer report --config cxr.yaml --run runs/first\n  cxr-trainer report --config cxr.yaml --run runs/first --study runs/search --benchmark runs/bench --resplit runs/resplit\n  cxr-trainer report --config cxr.yaml --run runs/first --reports reports --replace"
    )]
    Report(report::Arguments),
    /// Runs every step: audits and splits the data, trains, calibrates, evaluates, measures robustness,
    /// explains, releases, reports.
    ///
    /// An interrupted run continues where it stopped.
    #[command(
        after_help = "Example:\n  cxr-trainer run --config cxr.yaml --run runs/first --onnxruntime lib/libonnxruntime.so"
    )]
    Run(run::Arguments),
}

fn main() -> Result<()> {
    runtime::disable_telemetry()?;
    allocator::keep_freed_memory();
    match Cli::parse().command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Eda(options) => {
            let (index, run) = (options.index()?, options.open()?);
            eda(&run.config, &index, &run.directory, run.device).map(drop)
        }
        Command::Split(options) => {
            let (index, config) = (options.index()?, options.config()?);
            split(&config, &index, &RunDirectory::open(&options.run, &config)?).map(drop)
        }
        Command::Train(options) => {
            let run = options.open()?;
            train(&run.config, &run.directory, run.device)
        }
        Command::Calibrate(options) => calibrate(&options.open()?.trained()?).map(drop),
        Command::Evaluate(arguments) => evaluate::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Release(arguments) => release::run(arguments),
        Command::Verify(options) => verify::run(&options),
        Command::Register(arguments) => register::run(&arguments),
        Command::Track(arguments) => track::run(&arguments),
        Command::Complete(options) => options.run(complete_bundle),
        Command::Consistency(arguments) => consistency::run(arguments),
        Command::Robustness(arguments) => robustness::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Benchmark(arguments) => benchmark::run(arguments),
        Command::Quantise(options) => options.run(quantise_bundle),
        Command::Recalibrate(arguments) => recalibrate::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Run(arguments) => run::run(arguments),
    }
}
