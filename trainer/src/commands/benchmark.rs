//! `cxr-trainer benchmark training` and `cxr-trainer benchmark bundle`.

use super::options::{ConfigOptions, OpenRun, RunOptions, SigningOptions};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use cxr_trainer::benchmark::bundle::{Request, make_bundle};
use cxr_trainer::benchmark::training::{Plan, measure_training};
use cxr_trainer::config::Config;
use cxr_trainer::model::Architecture;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compares the full training step with the step alone, without the data path, and measures memory on a
    /// large folder.
    #[command(
        after_help = "Example:\n  cxr-trainer benchmark training --config cxr.yaml --run runs/bench\n  cxr-trainer benchmark training --config cxr.yaml --run runs/bench --rounds 3 --steps 4 --memory-images 0"
    )]
    Training(Training),
    /// Makes a bundle for speed measurements: an untrained network of any architecture, in fp32 and int8.
    #[command(
        after_help = "Example:\n  cxr-trainer benchmark bundle --architecture densenet121 --onnxruntime lib/libonnxruntime.so --out target/benchmark/densenet121"
    )]
    Bundle(Bundle),
}

#[derive(Debug, Args)]
struct Training {
    #[command(flatten)]
    options: RunOptions,
    /// Rounds, each with a block of full steps and a block of bare steps.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Steps per block.
    #[arg(long, default_value_t = 24)]
    steps: usize,
    /// Images in the generated folder for the memory measurement. 0: do not measure memory.
    #[arg(long, default_value_t = 25_000)]
    memory_images: usize,
}

#[derive(Debug, Args)]
struct Bundle {
    /// Architecture: mobilenetv2, mobilenetv2-expanded, densenet121, resnet50 or efficientnet-b0.
    #[arg(long, value_parser = architecture)]
    architecture: Architecture,
    /// Folder of the bundle. Replaces an older benchmark bundle.
    #[arg(long)]
    out: PathBuf,
    /// Seed of the weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use these weights (safetensors) instead: a backbone with torchvision's names, or a network of a run.
    #[arg(long)]
    weights: Option<PathBuf>,
    #[command(flatten)]
    signing: SigningOptions,
    #[command(flatten)]
    config: ConfigOptions,
}

fn architecture(name: &str) -> Result<Architecture> {
    let known = || Architecture::ALL.map(Architecture::name).join(", ");
    let found = Architecture::ALL.into_iter().find(|architecture| architecture.name() == name);
    found.with_context(|| format!("unknown architecture {name}; use one of {}", known()))
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.what {
        What::Training(Training { options, rounds, steps, memory_images }) => {
            let OpenRun { config, directory: run, device, .. } = &options.open()?;
            measure_training(config, run, *device, &Plan { rounds, steps, memory_images }).map(drop)
        }
        What::Bundle(bundle) => {
            let config = Config::load(&bundle.config.files, None)?;
            let request = Request {
                architecture: bundle.architecture,
                seed: bundle.seed,
                weights: bundle.weights.as_deref(),
                out: &bundle.out,
                signing_key: bundle.signing.signing_key(&config),
                onnxruntime: &bundle.signing.onnxruntime,
            };
            make_bundle(&config, &request)
        }
    }
}
