//! A worker process: claims a job, trains to its rung, records the result, and repeats until no job is left.

use super::directory::StudyDirectory;
use super::location::StoreLocation;
use super::results;
use super::scheduler::{self, ClaimRequest, Job, Next};
use super::space::apply;
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
const MAX_FAILURES: usize = 3;

pub fn work(
    config: &Config,
    study: &StudyDirectory,
    location: &StoreLocation,
    device: Device,
) -> Result<Next> {
    let (request, store) = (claim_request(config)?, location.open()?);
    let mut worker = Worker { config, study, location, device, request, store };
    worker.store.mark_alive(&worker.request.worker)?;
    loop {
        match worker.claim()? {
            Next::Job(job) => worker.run(&job)?,
            Next::Wait => std::thread::sleep(POLL),
            end => {
                results::write(config, study, worker.store.as_mut(), Some(&end))?;
                return Ok(end);
            }
        }
    }
}

fn claim_request(config: &Config) -> Result<ClaimRequest> {
    let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(ClaimRequest {
        worker: format!("{}-{}-{start}", host(), std::process::id()),
        host: host(),
        max_trials: config.tune.max_trials,
        budget_cpu_seconds: config.tune.budget_cpu_hours * 3600.0,
        lease_seconds: config.tune.lease_seconds,
    })
}

struct Worker<'a> {
    config: &'a Config,
    study: &'a StudyDirectory,
    location: &'a StoreLocation,
    device: Device,
    request: ClaimRequest,
    store: Box<dyn Store>,
}

impl Worker<'_> {
    fn claim(&mut self) -> Result<Next> {
        let mut next = Next::Wait;
        let request = &self.request;
        self.store.edit(&mut |study, liveness| {
            let errors: Vec<&String> = study.trials.iter().filter_map(|trial| trial.error.as_ref()).collect();
            if errors.len() >= MAX_FAILURES && study.trials.iter().all(|trial| trial.rungs.is_empty()) {
                bail!("{} trials failed and none succeeded; the first error: {}", errors.len(), errors[0]);
            }
            next = scheduler::claim(study, request, liveness)?;
            Ok(())
        })?;
        Ok(next)
    }

    fn run(&mut self, job: &Job) -> Result<()> {
        let Job { trial, generation, epochs, .. } = *job;
        if let Some(worker) = &job.taken_over_from {
            say(format!("trial {trial:04}: taken over from the lost worker {worker}"));
        }
        let parameters = results::format_parameters(&job.parameters);
        say(format!("trial {trial:04}: to epoch {epochs} with {parameters}"));
        let cpu_before = cpu_seconds()?;
        let heartbeat = Heartbeat::start(self.location, job.clone(), &self.request, cpu_before)?;
        let outcome = self.train(job);
        // The new holder renamed the folder, so this worker cannot have written to it.
        if heartbeat.stop() {
            say(format!("trial {trial:04}: lost to another worker after a stall"));
            return Ok(());
        }
        // Rename the folder before the result is recorded: the next claim looks for it under the plain name.
        let outcome = outcome.and_then(|progress| self.study.release(trial, generation).map(|()| progress));
        let outcome = outcome.map_err(|error| format!("{error:#}"));
        let spent = cpu_seconds()? - cpu_before;
        let mut recorded = false;
        self.store.edit(&mut |study, _| {
            recorded = scheduler::finish(study, job, &outcome, spent);
            Ok(())
        })?;
        match outcome {
            _ if !recorded => say(format!("trial {trial:04}: lost to another worker after a stall")),
            Ok(_) => results::write(self.config, self.study, self.store.as_mut(), None)?,
            Err(error) => say(format!("trial {trial:04}: failed: {error}")),
        }
        Ok(())
    }

    /// Trains from the trial's checkpoint, in a folder whose name carries the claim's generation.
    fn train(&self, job: &Job) -> Result<Progress> {
        let config = apply(self.config, &job.parameters)?;
        let run = RunDirectory::open(&self.study.claim(job.trial, job.generation)?, &config)?;
        train_to(&config, &run, self.device, job.epochs)
    }
}

/// Sends heartbeats from a thread and a connection of its own.
struct Heartbeat {
    stop: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Heartbeat {
    fn start(location: &StoreLocation, job: Job, request: &ClaimRequest, cpu_before: f64) -> Result<Self> {
        let mut store = location.open().context("heartbeat")?;
        // This connection is the one in constant use, so it notices a restarted store.
        store.mark_alive(&request.worker)?;
        let lease_seconds = request.lease_seconds;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let interval = Duration::from_secs_f64((lease_seconds / 4.0).min(15.0));
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let spent = cpu_seconds().unwrap_or(cpu_before) - cpu_before;
                let mut held = true;
                let renewed = store.edit(&mut |study, liveness| {
                    held = scheduler::renew(study, &job, spent, lease_seconds, liveness);
                    Ok(())
                });
                match renewed {
                    // The lease may expire meanwhile. Whether the trial is lost is up to the store.
                    Err(error) => say(format!("trial {:04}: heartbeat failed: {error:#}", job.trial)),
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
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error()).context("getrusage");
    }
    // SAFETY: zeroed and then filled; `rusage` is made of integers, for which all bit patterns are valid.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}
