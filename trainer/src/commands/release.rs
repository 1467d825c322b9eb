//! `cxr-trainer release`.

use super::export;
use anyhow::Result;
use clap::Args;
use cxr_trainer::release::release;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    export: export::Arguments,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Debug, Args)]
pub(crate) struct Reason {
    /// Releases a network that fails the gates, for this reason; model card and report state it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) release_reason: Option<String>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let reason = arguments.reason.release_reason.as_deref();
    arguments
        .export
        .run(true, |trained, calibrated, paths| release(trained, calibrated, paths, reason).map(drop))
}
