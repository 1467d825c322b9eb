//! `monitoring`: simulations of the statistics that monitoring and reports rest on.

mod ece;

use clap::Subcommand;
use std::process::ExitCode;

/// The simulations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures how often intervals of the calibration error contain the truth.
    EceCoverage(ece::Args),
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::EceCoverage(args) => ece::run(args),
    }
}
