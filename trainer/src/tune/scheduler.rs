//! The scheduler: asynchronous successive halving (ASHA, Li et al. 2020), claims with generations, and the
//! budget. Pure functions of the study and the clock; stores make each call atomic.

use super::sampler;
use super::space::Parameters;
use super::study::{Claim, EpochPoint, Study, Trial, TrialState};
use crate::train::checkpoint::{EpochMetrics, Progress};
use anyhow::Result;
use std::collections::BTreeSet;

/// What a store knows at the start of an edit.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    /// Seconds of the store's clock.
    pub now: f64,
    pub dead_workers: BTreeSet<String>,
}

/// A worker and its limits, which may change while a study runs.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    pub worker: String,
    pub host: String,
    pub max_trials: usize,
    pub budget_cpu_seconds: f64,
    /// How long a claim lasts without a heartbeat.
    pub lease_seconds: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub trial: usize,
    pub parameters: Parameters,
    pub generation: u64,
    /// Counted from 0.
    pub rung: usize,
    pub epochs: usize,
    pub taken_over_from: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Job(Job),
    /// Nothing now, but running trials may lead to another job.
    Wait,
    /// Nothing more: every trial has reached its rung.
    Complete,
    /// Nothing more: the next job would probably exceed the budget.
    OutOfBudget,
}

pub fn claim(study: &mut Study, request: &ClaimRequest, liveness: &Liveness) -> Result<Next> {
    let is_lost = |claim: &Claim| {
        claim.worker == request.worker
            || claim.lease_until < liveness.now
            || liveness.dead_workers.contains(&claim.worker)
    };
    let lost = study.trials.iter().position(|trial| trial.claim.as_ref().is_some_and(is_lost));
    if let Some(number) = lost {
        let rung = study.trials[number].rungs.len();
        let taken_over_from = release(&mut study.trials[number]);
        if exceeds_budget(study, rung, request) {
            return Ok(Next::OutOfBudget);
        }
        study.trials[number].n_takeovers += 1;
        return Ok(Next::Job(Job { taken_over_from, ..start_job(study, number, request, liveness) }));
    }
    let n_running = study.claims().count();
    let next = promotable(study).or_else(|| match n_running {
        _ if study.trials.len() < request.max_trials => Some(study.trials.len()),
        0 => last_to_continue(study),
        _ => None,
    });
    let Some(number) = next else {
        return Ok(if n_running == 0 { Next::Complete } else { Next::Wait });
    };
    let rung = study.trials.get(number).map_or(0, |trial| trial.rungs.len());
    if exceeds_budget(study, rung, request) {
        return Ok(Next::OutOfBudget);
    }
    if number == study.trials.len() {
        let parameters = sampler::draw(study)?;
        study.trials.push(Trial::new(number, parameters));
    }
    Ok(Next::Job(start_job(study, number, request, liveness)))
}

/// A paused trial among the best `1/reduction_factor` of its rung, from the highest rung that has one.
fn promotable(study: &Study) -> Option<usize> {
    (0..study.definition.rungs.len() - 1).rev().find_map(|rung| {
        let ranked = study.ranked(rung);
        // A trial that failed on the way to a rung counts as one of the worst there.
        let failed = |trial: &&Trial| trial.state == TrialState::Failed && trial.rungs.len() == rung;
        let n_failed = study.trials.iter().filter(failed).count();
        let n_promoted = (ranked.len() + n_failed) / study.definition.reduction_factor;
        let waits = |trial: &&&Trial| trial.state == TrialState::Paused && trial.rungs.len() == rung + 1;
        ranked.iter().take(n_promoted).find(waits).map(|trial| trial.number)
    })
}

/// With few trials, none would be promoted to the last rungs. A trial that was drawn but did not fit into an
/// earlier budget comes first.
fn last_to_continue(study: &Study) -> Option<usize> {
    let unstarted =
        study.trials.iter().find(|trial| trial.state == TrialState::Paused && trial.rungs.is_empty());
    let paused = |(trial, _): &(&Trial, _)| trial.state == TrialState::Paused;
    unstarted.or_else(|| study.best().filter(paused).map(|(trial, _)| trial)).map(|trial| trial.number)
}

/// Takes a trial from a lost worker and still counts the CPU time that was lost.
fn release(trial: &mut Trial) -> Option<String> {
    let claim = trial.claim.take()?;
    trial.cpu_seconds += claim.cpu_seconds;
    trial.state = TrialState::Paused;
    Some(claim.worker)
}

fn start_job(study: &mut Study, number: usize, request: &ClaimRequest, liveness: &Liveness) -> Job {
    let trial = &mut study.trials[number];
    let rung = trial.rungs.len();
    trial.generation += 1;
    trial.state = TrialState::Running;
    trial.workers.push(request.worker.clone());
    trial.claim = Some(Claim {
        worker: request.worker.clone(),
        host: request.host.clone(),
        rung,
        lease_until: liveness.now + request.lease_seconds,
        cpu_seconds: 0.0,
    });
    let epochs = study.definition.rungs[rung];
    let (generation, parameters) = (trial.generation, trial.parameters.clone());
    Job { trial: number, parameters, generation, rung, epochs, taken_over_from: None }
}

/// Whether a job, together with the running ones, would probably exceed the budget. Without a finished rung
/// the cost is unknown, and the job may start.
fn exceeds_budget(study: &Study, rung: usize, request: &ClaimRequest) -> bool {
    let to_rung = |rung: usize| {
        let before = rung.checked_sub(1).map_or(0, |before| study.definition.rungs[before]);
        (study.definition.rungs[rung] - before) as f64
    };
    let (mut seconds, mut epochs) = (0.0, 0.0);
    for trial in &study.trials {
        for (rung, result) in trial.rungs.iter().enumerate() {
            seconds += result.cpu_seconds;
            epochs += to_rung(rung);
        }
    }
    let per_epoch = if epochs > 0.0 { seconds / epochs } else { 0.0 };
    let remaining = |claim: &Claim| (per_epoch * to_rung(claim.rung) - claim.cpu_seconds).max(0.0);
    let outstanding: f64 = study.claims().map(remaining).sum();
    let expected = study.cpu_seconds() + outstanding + per_epoch * to_rung(rung);
    expected > request.budget_cpu_seconds || study.cpu_seconds() >= request.budget_cpu_seconds
}

fn claimed<'a>(study: &'a mut Study, job: &Job) -> Option<&'a mut Trial> {
    let trial = study.trials.get_mut(job.trial)?;
    (trial.generation == job.generation && trial.claim.is_some()).then_some(trial)
}

/// A heartbeat. Returns false if another worker has taken over the trial.
pub fn renew(
    study: &mut Study,
    job: &Job,
    cpu_seconds: f64,
    lease_seconds: f64,
    liveness: &Liveness,
) -> bool {
    let claim = claimed(study, job).and_then(|trial| trial.claim.as_mut());
    claim.is_some_and(|claim| {
        claim.lease_until = liveness.now + lease_seconds;
        claim.cpu_seconds = cpu_seconds;
        true
    })
}

/// Records the result of a job. Returns false, changing nothing, if another worker has taken over the trial.
pub fn finish(study: &mut Study, job: &Job, outcome: &Result<Progress, String>, cpu_seconds: f64) -> bool {
    let last_rung = study.definition.rungs.len() - 1;
    let earlier = |trial: &Trial| trial.rungs.iter().map(|result| result.cpu_seconds).sum::<f64>();
    let Some(total) = claimed(study, job).map(|trial| trial.cpu_seconds + cpu_seconds - earlier(trial))
    else {
        // A store that lost the reply repeats the edit: the result is recorded already.
        let trial = study.trials.get(job.trial);
        return trial.is_some_and(|trial| {
            trial.generation == job.generation && (trial.rungs.len() > job.rung || trial.error.is_some())
        });
    };
    let result = outcome.as_ref().map_err(Clone::clone).and_then(|progress| {
        let result = study.result(job.rung, progress, total).ok_or("no epoch was trained")?;
        let finite = result.value.is_finite() && result.select_loss.is_finite();
        if finite { Ok((result, points(progress))) } else { Err("the loss is not finite".to_owned()) }
    });
    let Some(trial) = claimed(study, job) else { return false };
    trial.claim = None;
    trial.cpu_seconds += cpu_seconds;
    match result {
        Ok((result, epochs)) => {
            trial.rungs.push(result);
            trial.epochs = epochs;
            trial.state = if job.rung == last_rung { TrialState::Finished } else { TrialState::Paused };
        }
        Err(error) => {
            trial.state = TrialState::Failed;
            trial.error = Some(error);
        }
    }
    true
}

fn points(progress: &Progress) -> Vec<EpochPoint> {
    let point = |e: &EpochMetrics| EpochPoint {
        epoch: e.epoch,
        train_loss: e.train_loss,
        select_loss: e.select_loss,
        select_auc: e.select_auc,
    };
    progress.history.iter().map(point).collect()
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
pub(super) mod tests;
