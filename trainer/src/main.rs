//! The command line of the trainer. What the commands do is in the library.

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use cxr::bundle::Trust;
use cxr_trainer::calibrate::{Calibrated, calibrate};
use cxr_trainer::config::Config;
use cxr_trainer::consistency::{Consistency, Scorer};
use cxr_trainer::dataset::folds::Fold;
use cxr_trainer::dataset::pixels::Recipe;
use cxr_trainer::device::DeviceChoice;
use cxr_trainer::evaluate::{EvaluationFile, evaluate};
use cxr_trainer::export::{self, ExportPaths, export};
use cxr_trainer::released::{self, evaluate_bundle};
use cxr_trainer::run::RunDirectory;
use cxr_trainer::train::train;
use cxr_trainer::trained::TrainedRun;
use cxr_trainer::{allocator, files};
use std::path::PathBuf;
use tch::Device;

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
        after_help = "Example:\n  cxr-trainer evaluate --run runs/first --fold select\n  cxr-trainer evaluate --run runs/first --fold test --reason 'release 1.0.0'\n  cxr-trainer evaluate --bundle models/default --fold test --reason 'acceptance at our site'"
    )]
    Evaluate(EvaluateArguments),
    /// Writes the signed bundle, if ONNX Runtime reproduces the network.
    #[command(
        after_help = "Example:\n  cxr-trainer export --run runs/first --onnxruntime lib/libonnxruntime.so --bundle models/default"
    )]
    Export(ExportArguments),
    /// Scores untouched originals and their small copies with a bundle, the service's way.
    #[command(
        after_help = "Example:\n  cxr-trainer consistency --bundle models/default --originals ../shared/data/kermany_originals"
    )]
    Consistency(ConsistencyArguments),
    /// Does all of it: train, calibrate, evaluate every fold, export.
    #[command(
        after_help = "Example:\n  cxr-trainer run --run runs/first --onnxruntime lib/libonnxruntime.so"
    )]
    Run(RunArguments),
}

#[derive(Debug, Args)]
struct Common {
    /// The run directory; created when missing, continued when not.
    #[arg(long, default_value = "runs/default")]
    run: PathBuf,
    /// A YAML file whose section `trainer` goes over config/default.yaml.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The dataset, train|val|test / NORMAL|PNEUMONIA; trainer.data.root unless given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Stands for ../shared/data in every path of the configuration.
    #[arg(long, env = "CXR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
}

#[derive(Debug, Args)]
struct EvaluateArguments {
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

#[derive(Debug, Args)]
struct BundleArguments {
    /// The bundle's folder; trainer.export.directory unless given.
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    onnxruntime: PathBuf,
}

#[derive(Debug, Args)]
struct ExportArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    bundle: BundleArguments,
    /// Ed25519 private key, PKCS#8 PEM; trainer.export.signing_key unless given.
    #[arg(long)]
    signing_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    export: ExportArguments,
    /// Why the test split is looked at; goes into the ledger.
    #[arg(long, default_value = "evaluation of a complete run")]
    reason: String,
}

#[derive(Debug, Args)]
struct ConsistencyArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    bundle: BundleArguments,
    /// The originals; trainer.export.originals unless given.
    #[arg(long)]
    originals: Option<PathBuf>,
}

/// What every command begins with.
struct Opened {
    config: Config,
    run: RunDirectory,
    device: Device,
}

impl Common {
    fn config(&self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref(), self.data_dir.as_deref())?;
        if let Some(root) = &self.data {
            config.data.root.clone_from(root);
        }
        Ok(config)
    }

    fn open(self) -> Result<Opened> {
        let config = self.config()?;
        let device = self.device.open()?;
        let run = RunDirectory::open(&self.run, &config)?;
        Ok(Opened { config, run, device })
    }
}

impl Opened {
    fn trained(&self) -> Result<TrainedRun<'_>> {
        TrainedRun::open(&self.config, &self.run, self.device)
    }

    fn export_paths(&self, bundle: BundleArguments, signing_key: Option<PathBuf>) -> ExportPaths {
        let defaults = &self.config.export;
        ExportPaths {
            bundle: bundle.bundle.unwrap_or_else(|| defaults.directory.clone()),
            signing_key: signing_key.unwrap_or_else(|| defaults.signing_key.clone()),
            onnxruntime: bundle.onnxruntime,
        }
    }
}

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    match Cli::parse().command {
        Command::Train(common) => {
            let opened = common.open()?;
            train(&opened.config, &opened.run, opened.device)
        }
        Command::Calibrate(common) => calibrate(&common.open()?.trained()?).map(drop),
        Command::Evaluate(arguments) => {
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
        Command::Export(arguments) => {
            let opened = arguments.common.open()?;
            let trained = opened.trained()?;
            let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
            export(&trained, &calibrated, &opened.export_paths(arguments.bundle, arguments.signing_key))
        }
        Command::Consistency(arguments) => measure_consistency(arguments),
        Command::Run(arguments) => run_all(arguments),
    }
}

fn run_all(arguments: RunArguments) -> Result<()> {
    let opened = arguments.export.common.open()?;
    train(&opened.config, &opened.run, opened.device)?;
    let trained = opened.trained()?;
    let calibrated = calibrate(&trained)?;
    for fold in [Fold::Select, Fold::Calibrate, Fold::Test] {
        // A run that is repeated unchanged has nothing new to see, on the test split least of all.
        if EvaluationFile::load(&trained, &calibrated, fold)?.is_none() {
            evaluate(&trained, &calibrated, fold, Some(&arguments.reason))?;
        }
    }
    export(&trained, &calibrated, &opened.export_paths(arguments.export.bundle, arguments.export.signing_key))
}

fn measure_consistency(arguments: ConsistencyArguments) -> Result<()> {
    let config = arguments.common.config()?;
    let folder = arguments.bundle.bundle.unwrap_or_else(|| config.export.directory.clone());
    let originals = arguments.originals.or_else(|| config.export.originals.clone());
    let originals = originals.context("--originals: say which folder holds the originals")?;
    // Whoever measures a bundle on their own machine need not trust its maker's key; the digests are checked.
    let bundle = export::open(&folder, &Trust::Unsigned)?;
    let (_, variant) = bundle.variant(None)?;
    let mut session = released::session(&bundle, variant, &arguments.bundle.onnxruntime)?;
    let mut scorer = Scorer {
        session: &mut session,
        recipe: Recipe { acceptance: bundle.manifest().acceptance, preprocess: bundle.manifest().preprocess },
        calibration: variant.calibration,
        policy: &variant.policy,
    };
    let consistency = Consistency::measure(&mut scorer, &originals, &config.data.root)?;
    consistency.report();
    if arguments.common.run.is_dir() {
        files::write_json(&arguments.common.run.join("consistency.json"), &consistency)?;
    }
    Ok(())
}
