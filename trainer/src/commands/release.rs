//! `cxr-trainer release`.

use super::export;
use anyhow::Result;
use clap::Args;
use cxr_trainer::measure::calibrate::Calibrated;
use cxr_trainer::release::release;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    export: export::Arguments,
    #[command(flatten)]
    reason: Reason,
}

/// What a release needs that the verdict does not allow.
#[derive(Debug, Args)]
pub(crate) struct Reason {
    /// Releases a network that fails the gates, for this reason; model card and report state it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) release_reason: Option<String>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { export: export::Arguments { common, output, report, replace }, reason } = arguments;
    let opened = common.open_for_bundle()?;
    let trained = opened.trained()?;
    let paths = output.paths(&opened.config, &opened.run, report);
    export::names(&trained, &paths, replace, true).check()?;
    let calibrated = Calibrated::load(trained.run, &trained.weights_sha256)?;
    release(&trained, &calibrated, &paths, reason.release_reason.as_deref()).map(drop)
}
