//! `bench`: measures service, peer and limit in turn; writes a table, a plot and summary.json.

mod accounting;
mod images;
mod interval;
mod limit;
mod load;
mod model;
mod overload;
mod peer;
mod plot;
mod postgres;
mod rounds;
mod run;
mod server;
mod service;
mod soak;
mod summary;
mod table;

pub use images::Corpus;
pub use interval::Interval;
pub use limit::{Cell, LimitArgs, serve as serve_limit};
pub use load::Load;
pub use model::ModelArg;
pub use peer::PeerSetting;
pub use service::{Setting, parse_setting};
pub use summary::{CpuPerRequest, Record};

pub(crate) use accounting::peak_resident_bytes;

use crate::terminal;
use crate::terminal::progress;
use anyhow::{Context, Result};
use images::Images;
use model::Model;
use overload::Generators;
use run::ModelReport;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: cxr-loadtest bench --model default=models/default:fp32 --set model.sessions=2 --rounds 7"
)]
pub struct Args {
    /// Model to measure, NAME=BUNDLE[:VARIANT]. Repeatable. Default: models/default and
    /// target/bench/models/*, all variants.
    #[arg(long = "model")]
    models: Vec<ModelArg>,
    /// Rounds. In each, every contestant runs every load once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measured seconds per load; slow models and open loads take longer.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Loads: 16 means 16 clients without think time; 60% means an open loop at that share of the peer's
    /// saturation rate.
    #[arg(long, value_delimiter = ',', value_parser = Load::parse, default_value = "1,4,16,64,30%,60%,90%")]
    loads: Vec<Load>,
    /// Images to send.
    #[arg(long, value_enum, default_value = "kermany224")]
    images: Corpus,
    /// Sets a key of the section `service`, KEY=VALUE. Repeatable.
    #[arg(long = "set", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// The peer's WORKERS,INTRA_THREADS,POOL_THREADS. Default: found by a sweep.
    #[arg(long)]
    peer: Option<PeerSetting>,
    /// The limit's SESSIONS,THREADS,BATCH. Default: found by a sweep.
    #[arg(long)]
    limit: Option<Cell>,
    /// Omits the peer; open loads are then shares of the limit's rate.
    #[arg(long, conflicts_with = "peer")]
    without_peer: bool,
    /// Minutes at saturation after the rounds, to observe the service's memory.
    #[arg(long, default_value_t = 0.0)]
    soak_minutes: f64,
    #[command(flatten)]
    overload: Generators,
    /// Smoke test: one round of one second each at 1 and 16 clients and 60 %, without sweeps. Its figures
    /// mean nothing.
    #[arg(long)]
    quick: bool,
    /// Seed of the image sample, the arrivals and the resamples.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Output folder: summary.json, run.json, table.md, latency.svg and logs.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
pub async fn run(args: &Args) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("{}: cannot be made", args.out.display()))?;
    let models = Model::all(&args.models)?;
    let images = Images::take(args.images, args.seed)?;
    progress(format_args!("images: {}", images.description));
    let postgres = postgres::start()?;
    let mut reports = Vec::new();
    for model in &models {
        reports.push(run::measure(args, model, &images, &postgres).await?);
        // After each model, so that an interrupted run keeps what it has measured.
        write(&args.out, &images.description, &reports)?;
    }
    terminal::print(std::fs::read_to_string(args.out.join("table.md"))?);
    Ok(ExitCode::SUCCESS)
}

fn write(out: &Path, images: &str, reports: &[ModelReport]) -> Result<()> {
    let records: Vec<&Record> = reports.iter().flat_map(|report| &report.records).collect();
    let host = host();
    let run = serde_json::json!({ "host": host, "images": images, "subjects": reports });
    std::fs::write(out.join("summary.json"), serde_json::to_string_pretty(&records)?)?;
    std::fs::write(out.join("run.json"), serde_json::to_string_pretty(&run)?)?;
    std::fs::write(out.join("table.md"), table::markdown(&host, images, reports))?;
    plot::draw(&out.join("latency.svg"), reports)
}

/// Parses three positive numbers, separated by commas.
fn three_numbers(text: &str) -> Option<[usize; 3]> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|n| n.parse().ok().filter(|n| *n > 0)).collect();
    numbers?.try_into().ok()
}

/// The processor's name and the number of cores.
fn host() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", name.map_or("unknown processor", |(_, name)| name))
}
