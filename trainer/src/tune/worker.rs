//! A worker process: claims a job, trains to its rung, records the result, and repeats until no job is left.

use super::directory::StudyDirectory;
use super::place::Place;
use super::results;
use super::scheduler::{self, Asking, Job, Next};
use super::space::{Parameters, apply};
use super::store::Store;
use crate::config::Config;
use crate::progress::say;
use crate::run::RunDirectory;
use crate::run::environment::host;
use crate::train::checkpoint::Progress;
use crate::train::train_to;
use anyhow::{Context, Result, bail};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tch::Device;

/// How long an idle worker waits before it asks again.
const POLL: Duration = Duration::from_millis(500);
/// If this many trials fail before any succeeds, the parameters are not to blame.
const FAILURES: usize = 3;

/// Works on a study until no job is left, and returns why it stopped.
pub fn work(config: &Config, study: &StudyDirectory, place: &Place, device: Device) -> Result<Next> {
    let asking = asking(config)?;
    let mut store = place.open()?;
    store.attend(&asking.worker)?;
    loop {
        match claim(store.as_mut(), &asking)? {
            (Next::Job(job), parameters) => {
                carry_out(config, study, place, store.as_mut(), &asking, &job, &parameters, device)?;
            }
            (Next::Wait, _) => std::thread::sleep(POLL),
            (end, _) => {
                results::write(config, study, store.as_mut(), Some(&end))?;
                return Ok(end);
            }
        }
    }
}

/// The worker name of this process, and the configured limits.
fn asking(config: &Config) -> Result<Asking> {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(Asking {
        worker: format!("{}-{}-{begun}", host(), std::process::id()),
        host: host(),
        max_trials: config.tune.max_trials,
        budget_cpu_seconds: config.tune.budget_cpu_hours * 3600.0,
        lease_seconds: config.tune.lease_seconds,
    })
}

fn claim(store: &mut dyn Store, asking: &Asking) -> Result<(Next, Parameters)> {
    let mut answer = (Next::Wait, Parameters::new());
    store.edit(&mut |study, moment| {
        let n_failed = study.trials.iter().filter(|trial| trial.error.is_some()).count();
        if n_failed >= FAILURES && study.trials.iter().all(|trial| trial.rungs.is_empty()) {
            let error = study.trials.iter().find_map(|trial| trial.error.clone());
            bail!("{n_failed} trials failed and none succeeded; the first: {}", error.unwrap_or_default());
        }
        let next = scheduler::claim(study, asking, moment)?;
        let parameters = match &next {
            Next::Job(job) => study.trials[job.trial].parameters.clone(),
            _ => Parameters::new(),
        };
        answer = (next, parameters);
        Ok(())
    })?;
    Ok(answer)
}

#[expect(clippy::too_many_arguments, reason = "one job with everything that it needs")]
fn carry_out(
    config: &Config,
    study: &StudyDirectory,
    place: &Place,
    store: &mut dyn Store,
    asking: &Asking,
    job: &Job,
    parameters: &Parameters,
    device: Device,
) -> Result<()> {
    let Job { trial, generation, epochs, .. } = *job;
    if let Some(worker) = &job.taken_over_from {
        say(format!("trial {trial:04}: taken over from {worker}, which was lost"));
    }
    say(format!("trial {trial:04}: to epoch {epochs} with {}", results::listed(parameters)));
    let cpu_before = cpu_seconds()?;
    let heart = Heart::start(place, job.clone(), asking, cpu_before)?;
    let outcome = train_trial(config, study, job, parameters, device);
    let lost = heart.stop();
    if lost {
        // The new holder renamed the folder, so this worker cannot have written to it.
        say(format!("trial {trial:04}: lost to another worker after a stall; left alone"));
        return Ok(());
    }
    // Rename the folder before the result is recorded: the next claim looks for it under the plain name.
    let outcome = outcome.and_then(|progress| study.settle(trial, generation).map(|()| progress));
    let outcome = outcome.map_err(|error| format!("{error:#}"));
    let spent = cpu_seconds()? - cpu_before;
    let mut kept = false;
    store.edit(&mut |study, _| {
        kept = scheduler::finish(study, job, &outcome, spent);
        Ok(())
    })?;
    match outcome {
        _ if !kept => say(format!("trial {trial:04}: lost to another worker after a stall; left alone")),
        Ok(_) => results::write(config, study, store, None)?,
        Err(error) => say(format!("trial {trial:04}: failed: {error}")),
    }
    Ok(())
}

/// Trains from the trial's checkpoint, in a folder whose name carries the claim's generation.
fn train_trial(
    config: &Config,
    study: &StudyDirectory,
    job: &Job,
    parameters: &Parameters,
    device: Device,
) -> Result<Progress> {
    let config = apply(config, parameters)?;
    let folder = study.take(job.trial, job.generation)?;
    let run = RunDirectory::open(&folder, &config)?;
    train_to(&config, &run, device, job.epochs)
}

/// Sends heartbeats from a thread and a connection of its own.
struct Heart {
    stop: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Heart {
    fn start(place: &Place, job: Job, asking: &Asking, cpu_before: f64) -> Result<Self> {
        let mut store = place.open().context("for the signs of life")?;
        // This connection is the one in constant use, so it notices a restarted store.
        store.attend(&asking.worker)?;
        let lease_seconds = asking.lease_seconds;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let interval = Duration::from_secs_f64((lease_seconds / 4.0).min(15.0));
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let spent = cpu_seconds().unwrap_or(cpu_before) - cpu_before;
                let mut held = true;
                let renewed = store.edit(&mut |study, moment| {
                    held = scheduler::renew(study, &job, spent, lease_seconds, moment);
                    Ok(())
                });
                match renewed {
                    // The lease may expire meanwhile. Whether the trial is lost is up to the store.
                    Err(error) => say(format!("trial {:04}: no sign of life: {error:#}", job.trial)),
                    Ok(()) if !held => return true,
                    Ok(()) => {}
                }
            }
            false
        });
        Ok(Self { stop, thread })
    }

    fn stop(self) -> bool {
        drop(self.stop);
        self.thread.join().unwrap_or(false)
    }
}

/// CPU seconds of all threads of this process.
pub(super) fn cpu_seconds() -> Result<f64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer refers to a writable `rusage`, which getrusage fills.
    let answer = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if answer != 0 {
        return Err(std::io::Error::last_os_error()).context("getrusage");
    }
    // SAFETY: zeroed and then filled; `rusage` is made of integers, for which all bit patterns are valid.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}
