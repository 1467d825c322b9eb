//! The command line of the measurements.

use clap::{Parser, Subcommand};
use loadtest::{bench, device, gpu_check, log};
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
    /// The service, the FastAPI peer and the limit of the host, by turns.
    Bench(bench::Args),
    /// The process of the limit; `bench` starts it.
    #[command(hide = true)]
    Limit(bench::LimitArgs),
    /// One execution provider without a service around it.
    Device(device::Args),
    /// The audit log's verifier on a large export.
    Log(log::Args),
    /// Accept a GPU host: train, export, serve and measure there.
    GpuCheck(gpu_check::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    runtime::disable_telemetry()?;
    match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Limit(args) => bench::serve_limit(&args),
        Command::Device(args) => device::run(&args),
        Command::Log(args) => log::run(&args),
        Command::GpuCheck(args) => gpu_check::run(&args),
    }
}
