//! `cxr-trainer bench`.

use super::shared::Common;
use anyhow::Result;
use clap::Args;
use cxr_trainer::bench::{Plan, bench};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Rounds, each with a block of full steps and a block of bare steps.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Steps per block.
    #[arg(long, default_value_t = 24)]
    steps: usize,
    /// Images in the generated folder for the memory measurement. 0: do not measure memory.
    #[arg(long, default_value_t = 25_000)]
    memory_images: usize,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let plan =
        Plan { rounds: arguments.rounds, steps: arguments.steps, memory_images: arguments.memory_images };
    let opened = arguments.common.open()?;
    bench(&opened.config, &opened.run, opened.device, &plan).map(drop)
}
