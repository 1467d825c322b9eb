//! Starts one process per worker on this machine, reports progress and waits for all.

use super::directory::StudyDirectory;
use super::store::Store;
use super::study::{Study, TrialState};
use crate::files;
use crate::progress::say;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZero;
use std::process::{Child, Command};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(500);

/// Runs `n` copies of `command` as single workers until all have ended.
pub fn supervise(
    study: &StudyDirectory,
    store: &mut dyn Store,
    n: usize,
    command: impl Fn() -> Result<Command>,
) -> Result<()> {
    let logs = study.file("logs");
    files::create_folder(&logs)?;
    let n_threads = (std::thread::available_parallelism().map_or(1, NonZero::get) / n).max(1);
    let mut workers = Vec::new();
    for number in 1..=n {
        let log = logs.join(format!("worker-{number}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("{}: cannot be written", log.display()))?;
        let mut command = command()?;
        if std::env::var_os("OMP_NUM_THREADS").is_none() {
            command.env("OMP_NUM_THREADS", n_threads.to_string()).env("OMP_WAIT_POLICY", "passive");
        }
        let child =
            command.stdout(output.try_clone()?).stderr(output).spawn().context("starting a worker")?;
        say(format!("worker {number}: process {}, {}", child.id(), log.display()));
        workers.push((number, child));
    }
    watch(store, workers, n)
}

fn watch(store: &mut dyn Store, mut workers: Vec<(usize, Child)>, n: usize) -> Result<()> {
    let mut seen = BTreeMap::new();
    let mut n_finished = 0;
    loop {
        let mut living = Vec::new();
        for (number, mut child) in workers {
            match child.try_wait()? {
                None => living.push((number, child)),
                Some(status) if status.success() => n_finished += 1,
                Some(status) => {
                    say(format!("worker {number}: {status}; the other workers take over its trial"));
                }
            }
        }
        workers = living;
        if let Some(study) = store.load()? {
            report_changes(&study, &mut seen);
        }
        if workers.is_empty() {
            break;
        }
        std::thread::sleep(POLL);
    }
    ensure!(n_finished > 0, "all {n} workers failed: see their logs; the same command continues the study");
    Ok(())
}

fn report_changes(study: &Study, seen: &mut BTreeMap<usize, (usize, TrialState, u64)>) {
    let n_running = study.trials.iter().filter(|trial| trial.state == TrialState::Running).count();
    for trial in &study.trials {
        let state = (trial.rungs.len(), trial.state, trial.generation);
        let before = seen.insert(trial.number, state);
        let number = trial.number;
        if before.map_or(0, |(n_rungs, ..)| n_rungs) < trial.rungs.len()
            && let Some(result) = trial.rungs.last()
        {
            say(format!(
                "trial {number:04}: epoch {}, select loss {:.4}, AUC {:.4} ({} trials, {n_running} running, {:.2} CPU hours)",
                result.epochs,
                result.select_loss,
                result.select_auc,
                study.trials.len(),
                study.cpu_seconds() / 3600.0
            ));
        }
        if before != Some(state) && trial.state == TrialState::Failed {
            say(format!("trial {number:04}: failed: {}", trial.error.as_deref().unwrap_or_default()));
        }
    }
}
