//! The command line of the measurements.

use clap::{Parser, Subcommand};
use loadtest::{bench, device, gpu_check, log, monitoring};
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
    /// Simulates the statistics of monitoring.
    #[command(subcommand)]
    Monitoring(monitoring::Command),
    /// Runs the acceptance check of a GPU host: trains, exports, serves and measures there.
    GpuCheck(gpu_check::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    runtime::disable_telemetry()?;
    match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Limit(args) => bench::serve_limit(&args),
        Command::Device(args) => device::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Monitoring(command) => monitoring::run(&command),
        Command::GpuCheck(args) => gpu_check::run(&args),
    }
}
