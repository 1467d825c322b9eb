//! `cxr-trainer benchmark-bundle`.

use super::shared::MakingArguments;
use anyhow::{Context, Result};
use clap::Args;
use cxr_trainer::benchmark::{Request, benchmark_bundle};
use cxr_trainer::config::Config;
use cxr_trainer::model::Architecture;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
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
    making: MakingArguments,
    /// YAML file whose section `trainer` overrides the defaults. Repeatable; later files override earlier ones.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

fn architecture(name: &str) -> Result<Architecture> {
    let known = || Architecture::ALL.map(Architecture::name).join(", ");
    let found = Architecture::ALL.into_iter().find(|architecture| architecture.name() == name);
    found.with_context(|| format!("unknown architecture {name}; use one of {}", known()))
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config, None)?;
    benchmark_bundle(
        &config,
        &Request {
            architecture: arguments.architecture,
            seed: arguments.seed,
            weights: arguments.weights.as_deref(),
            out: &arguments.out,
            signing_key: arguments.making.signing_key(&config),
            onnxruntime: &arguments.making.onnxruntime,
        },
    )
}
