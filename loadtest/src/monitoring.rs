//! Studies of monitoring's statistics.

mod drift;

use anyhow::Result;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Study {
    /// False alarms and delays of the detectors of drift.
    Drift(drift::Args),
}

/// Runs a study and prints its tables.
pub fn run(study: &Study) -> Result<ExitCode> {
    match study {
        Study::Drift(args) => drift::run(args),
    }
}
