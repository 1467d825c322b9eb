//! `cxr-trainer track`.

use super::shared::Common;
use anyhow::{Result, ensure};
use clap::Args;
use cxr_trainer::console::say;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::tracking::Tracker;
use cxr_trainer::tracking::standing::Standing;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Sends nothing.
    #[arg(long)]
    show: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (config, folder) = (arguments.common.config_without_data()?, &arguments.common.run);
    ensure!(folder.is_dir(), "{}: there is no such run", folder.display());
    if !arguments.show {
        let run = RunDirectory::open(folder, &config)?;
        let mut tracker = Tracker::open(&config, &run);
        tracker.results();
        let withheld = tracker.withheld()?;
        if !withheld.is_empty() {
            say(format!("stays      {} (trainer.tracking.patient_level: false)", withheld.join(", ")));
        }
    }
    let standing = Standing::read(&config.tracking, folder)?;
    standing.report();
    ensure!(
        arguments.show || standing.n_waiting == 0,
        "{} events wait: {} does not take them",
        standing.n_waiting,
        standing.target
    );
    Ok(())
}
