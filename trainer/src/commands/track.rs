//! `cxr-trainer track`.

use super::options::RunOptions;
use anyhow::{Result, ensure};
use clap::Args;
use cxr_trainer::progress::say;
use cxr_trainer::run::RunDirectory;
use cxr_trainer::tracking::Tracker;
use cxr_trainer::tracking::delivery_status::DeliveryStatus;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    /// Shows what the store has, and sends nothing.
    #[arg(long)]
    show: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let is_default = arguments.options.data.config.files.is_empty();
    let (config, folder) = (arguments.options.data.config_without_data()?, &arguments.options.run);
    ensure!(folder.is_dir(), "{}: no such run", folder.display());
    if !arguments.show {
        let mut tracker = if is_default {
            // The defaults are not the run's configuration: do not compare or send them.
            let run = RunDirectory::found(folder)?;
            Tracker::at(&config.tracking, folder, &run.name())
        } else {
            Tracker::open(&config, &RunDirectory::open(folder, &config)?)
        };
        tracker.results();
        let withheld = tracker.withheld()?;
        if !withheld.is_empty() {
            say(format!(
                "not sent   {} (patient-level data, trainer.tracking.patient_level: false)",
                withheld.join(", ")
            ));
        }
    }
    let status = DeliveryStatus::read(&config.tracking, folder)?;
    status.print();
    if is_default {
        say("this is the default destination; if the run used a configuration, pass it with --config FILE");
    }
    ensure!(
        arguments.show || status.n_waiting == 0,
        "{} events not sent: {} does not accept them",
        status.n_waiting,
        status.target
    );
    Ok(())
}
