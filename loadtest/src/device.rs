//! `device`: measures one execution provider: images/s and latency by batch size, as the service runs it and
//! in a bare loop; differences of logits between batch sizes, runs and providers; the nodes that it executes.

mod compare;
mod load;
mod measure;

pub use compare::Difference;
pub use load::{Loaded, ProviderName};
pub use measure::{Cell, Figures, Way};

use crate::terminal::print;
use anyhow::{Context, Result, ensure};
use clap::Args as Arguments;
use load::Source;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Images whose logits are compared; more would only take longer.
const N_COMPARED: usize = 32;

/// Options of `cxr-loadtest device`.
#[derive(Debug, Arguments)]
#[command(
    after_help = "Example:\n  cxr-loadtest device --bundle models/default --provider cuda --batches 1,8,32,128 --json device.json"
)]
pub struct Args {
    /// Folder of the bundle.
    #[arg(long, default_value = "models/default")]
    pub bundle: PathBuf,
    /// Variant to measure. Default: the bundle's default.
    #[arg(long)]
    pub variant: Option<String>,
    /// Execution provider. It never falls back to another one.
    #[arg(long, value_enum, default_value = "cpu")]
    pub provider: ProviderName,
    /// GPU ordinal.
    #[arg(long, default_value_t = 0)]
    pub device_id: i32,
    /// On a GPU: replay CUDA graphs, as the service does with model.cuda_graphs.
    #[arg(long)]
    pub cuda_graphs: bool,
    /// On a GPU: do not pin memory; this also disables CUDA graphs.
    #[arg(long)]
    pub no_pinned_io: bool,
    /// On a GPU: multiply with a 10-bit mantissa (TF32) in both loops.
    #[arg(long)]
    pub tf32: bool,
    /// On the CPU: threads per operator.
    #[arg(long, default_value_t = 1)]
    pub intra_threads: usize,
    /// Batch sizes.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,128")]
    pub batches: Vec<usize>,
    /// Seconds per batch size and loop.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// ONNX Runtime's shared library.
    #[arg(long, env = "ORT_DYLIB_PATH")]
    pub onnxruntime: PathBuf,
    /// Output file for the figures.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// The output of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Name and version of the bundle.
    pub bundle: String,
    pub architecture: String,
    pub variant: String,
    pub precision: String,
    pub provider: String,
    pub assigned_nodes: BTreeMap<String, usize>,
    /// Everything that can change the last bits of an output.
    pub execution: serde_json::Value,
    pub intra_threads: usize,
    pub cells: Vec<Cell>,
    /// Differences of an image alone and in batches.
    pub between_batches: Difference,
    /// Differences of the same batch in two runs.
    pub between_runs: Difference,
    /// Differences from the bundle's fp32 variant on the CPU.
    pub against_cpu: Option<Difference>,
}

impl Measurement {
    /// Names the differences that exceed their tolerance.
    pub fn violations(&self) -> Vec<String> {
        let named = [
            ("between batch sizes", Some(&self.between_batches)),
            ("between runs", Some(&self.between_runs)),
            ("against fp32 on the CPU", self.against_cpu.as_ref()),
        ];
        let named = named.into_iter().filter_map(|(name, found)| Some((name, found?)));
        let exceeding = named.filter(|(_, found)| !found.is_allowed());
        exceeding.map(|(name, found)| format!("{name}: {found}")).collect()
    }
}

/// Measures, prints and writes the figures; fails if a difference exceeds its tolerance.
pub fn run(args: &Args) -> Result<ExitCode> {
    let measurement = measure(args)?;
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&measurement)? + "\n";
        std::fs::write(file, text).with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    let violations = measurement.violations();
    for violation in &violations {
        print(format_args!("NOT ALLOWED  {violation}"));
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(args: &Args) -> Result<Measurement> {
    let positive = !args.batches.contains(&0) && !args.batches.is_empty();
    ensure!(positive, "--batches: sizes from 1 on, such as 1,8,32");
    ensure!(args.seconds > 0.0, "--seconds: must be positive");
    let source = Source::open(&args.bundle, args.variant.as_deref(), &args.onnxruntime)?;
    let batches = source.batches(&args.batches);
    let mut loaded = Loaded::new(&source, args)?;
    let proof = loaded.service.proof().clone();
    print(format_args!(
        "{} {} ({}, {}) on {}: nodes {:?}",
        source.name(),
        source.variant_name(),
        source.architecture(),
        source.precision(),
        proof.provider,
        proof.assigned_nodes
    ));
    let n_images = batches.iter().copied().max().unwrap_or(1).max(N_COMPARED);
    let images = source.phantoms(n_images);
    let mut cells = Vec::new();
    for batch in &batches {
        let cell = measure::cell(&mut loaded, &images, *batch, args.seconds)?;
        print(&cell);
        cells.push(cell);
    }
    let judge = compare::Judge { source: &source, on_cpu: args.provider == ProviderName::Cpu };
    let between_batches = judge.between_batches(&mut loaded.service, &images, &batches, N_COMPARED)?;
    print(format_args!("between batch sizes      {between_batches}"));
    let between_runs = judge.between_runs(&mut loaded.service, &images, &batches)?;
    print(format_args!("between runs             {between_runs}"));
    let against_cpu = judge.against_cpu(&mut loaded.service, &images, &batches, N_COMPARED)?;
    if let Some(difference) = &against_cpu {
        print(format_args!("against fp32 on the CPU  {difference}"));
    }
    Ok(Measurement {
        bundle: source.name(),
        architecture: source.architecture().to_owned(),
        variant: source.variant_name().to_owned(),
        precision: source.precision().to_owned(),
        provider: proof.provider,
        assigned_nodes: proof.assigned_nodes,
        execution: serde_json::to_value(loaded.service.fingerprint())?,
        intra_threads: args.intra_threads,
        cells,
        between_batches,
        between_runs,
        against_cpu,
    })
}
