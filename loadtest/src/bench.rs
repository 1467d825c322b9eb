//! `bench`: the service, the peer and the limit by turns, closed and open loop; table, plot and summary.json.

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
