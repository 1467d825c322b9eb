//! `gpu-check`: accepts a GPU host: trains, exports, serves and measures there, and writes one report.

use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
///
/// # Errors
/// Says what is missing or failed.
pub fn run(_: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not written yet")
}
