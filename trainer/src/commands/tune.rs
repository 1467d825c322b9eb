//! `cxr-trainer tune`.

use super::options::DataOptions;
use anyhow::{Context, Result};
use clap::Args;
use cxr_trainer::progress::say;
use cxr_trainer::run::device::DeviceChoice;
use cxr_trainer::tune::location::StoreLocation;
use cxr_trainer::tune::results::table;
use cxr_trainer::tune::scheduler::Next;
use cxr_trainer::tune::supervisor::supervise;
use cxr_trainer::tune::worker::work;
use cxr_trainer::tune::{StudyDirectory, begin};
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Study: a name (a folder in runs/) or a folder. Created if missing, otherwise continued.
    #[arg(long)]
    study: PathBuf,
    /// Store shared by the workers: a folder that all can reach, or postgres://... Default: STUDY/store.
    #[arg(long, env = "CXR_TUNE_STORE", hide_env_values = true)]
    store: Option<String>,
    /// Worker processes on this machine.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// CPU time for all trials together. Default: trainer.tune.budget_cpu_hours.
    #[arg(long)]
    budget_cpu_hours: Option<f64>,
    /// Largest number of trials. Default: trainer.tune.max_trials.
    #[arg(long)]
    max_trials: Option<usize>,
    /// Shows the state of the study and exits.
    #[arg(long)]
    status: bool,
    /// Runs as a worker of --workers.
    #[arg(long, hide = true)]
    worker: bool,
    #[command(flatten)]
    data: DataOptions,
    /// Device: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let study = StudyDirectory::of(&arguments.study);
    let location = StoreLocation::parse(arguments.store.as_deref(), study.path());
    if arguments.status {
        let kept = location.open()?.load()?;
        let kept = kept.with_context(|| format!("{}: no such study", study.path().display()))?;
        say(table(&kept));
        return Ok(());
    }
    let mut config = arguments.data.config()?;
    config.tune.budget_cpu_hours = arguments.budget_cpu_hours.unwrap_or(config.tune.budget_cpu_hours);
    config.tune.max_trials = arguments.max_trials.unwrap_or(config.tune.max_trials);
    begin(&config, &study, &location)?;
    if arguments.worker || arguments.workers <= 1 {
        let end = work(&config, &study, &location, arguments.device.open()?)?;
        if arguments.worker {
            return Ok(());
        }
        print(&location, &end)
    } else {
        let mut store = location.open()?;
        supervise(&study, store.as_mut(), arguments.workers, || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(std::env::args_os().skip(1)).arg("--worker");
            Ok(command)
        })?;
        say(table(&store.load()?.context("the study is gone")?));
        Ok(())
    }
}

fn print(location: &StoreLocation, end: &Next) -> Result<()> {
    say(table(&location.open()?.load()?.context("the study is gone")?));
    if *end == Next::OutOfBudget {
        say("the budget is used up: continue with a larger --budget-cpu-hours");
    }
    Ok(())
}
