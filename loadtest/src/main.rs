//! The command line of the measurements.

use clap::{Parser, Subcommand};
use loadtest::{bench, device, gpu_check, log, monitoring, watch};
use std::process::ExitCode;

/// Measures cxr-service.
#[derive(Parser)]
#[command(name = "cxr-loadtest", version, after_help = "Example: cxr-loadtest bench --quick")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Benchmarks the service against the FastAPI peer and the host's limit, in turns.
    Bench(bench::Args),
    /// The process that measures the limit; `bench` starts it.
    #[command(hide = true)]
    Limit(bench::LimitArgs),
    /// Benchmarks one execution provider without the service.
    Device(device::Args),
    /// Benchmarks the audit log verifier on a large export.
    Log(log::Args),
    /// Runs the acceptance check of a GPU host: trains, exports, serves and measures there.
    GpuCheck(gpu_check::Args),
    /// Shows monitoring on this machine: two replicas, Prometheus, Alertmanager, traffic and the dashboards.
    Watch(watch::Args),
    /// Measures the statistics of monitoring on real or synthetic images.
    #[command(subcommand)]
    Monitoring(monitoring::Study),
}

fn main() -> anyhow::Result<ExitCode> {
    runtime::disable_telemetry()?;
    match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Limit(args) => bench::serve_limit(&args),
        Command::Device(args) => device::run(&args),
        Command::Log(args) => log::run(&args),
        Command::GpuCheck(args) => gpu_check::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Monitoring(study) => monitoring::run(&study),
    }
}
