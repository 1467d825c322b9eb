//! Studies of the statistics that monitoring and reports rest on.

mod drift;
mod ece;
mod performance;

pub(crate) use drift::images::{Shift, Source, shifted};

use anyhow::Result;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Study {
    /// False alarms and delays of the detectors of drift.
    Drift(drift::Args),
    /// Measures how often intervals of the calibration error contain the truth.
    EceCoverage(ece::Args),
    /// Estimates without labels beside NannyML's, and the detectors with labels.
    Performance(performance::Args),
}

/// Runs a study and prints its tables.
pub fn run(study: &Study) -> Result<ExitCode> {
    match study {
        Study::Drift(args) => drift::run(args),
        Study::EceCoverage(args) => ece::run(args),
        Study::Performance(args) => performance::run(args),
    }
}
