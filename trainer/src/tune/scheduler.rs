//! Who works on what next: asynchronous successive halving (ASHA, Li et al. 2020), claims with generations, and the
//! budget. Pure functions of the study and the moment; the stores make each call atomic.

use super::sampler;
use super::study::{Claim, EpochPoint, Study, Trial, TrialState};
use crate::train::checkpoint::Progress;
use anyhow::Result;
use std::collections::BTreeSet;

/// When a store's transaction happens, and which workers are known to be gone.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Seconds of the store's clock.
    pub now: f64,
    /// Workers whose process has ended.
    pub gone: BTreeSet<String>,
}

/// Who asks, and within which limits. These may change while a study goes on.
#[derive(Debug, Clone)]
pub struct Asking {
    /// The worker.
    pub worker: String,
    /// Its machine.
    pub host: String,
    /// Most trials.
    pub max_trials: usize,
    /// Processor seconds of all trials together.
    pub budget_cpu_seconds: f64,
    /// How long a claim lasts without a sign of life.
    pub lease_seconds: f64,
}

/// A trial to be trained to a rung.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub trial: usize,
    /// The claim's generation.
    pub generation: u64,
    /// The rung, counted from 0.
    pub rung: usize,
    /// Epochs of that rung.
    pub epochs: usize,
    /// Who was lost with it, if somebody was.
    pub taken_over_from: Option<String>,
}

/// What a worker does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// This.
    Job(Job),
    /// Nothing yet: what others are at may lead to more.
    Wait,
    /// Nothing more: every trial is where it should be.
    Complete,
    /// Nothing more: the next job is not expected to end within the budget.
    OutOfBudget,
}

/// Claims the next job for a worker.
///
/// # Errors
/// When no configuration can be drawn.
pub fn claim(study: &mut Study, asking: &Asking, moment: &Moment) -> Result<Next> {
    let is_lost = |claim: &Claim| {
        claim.worker == asking.worker || claim.lease_until < moment.now || moment.gone.contains(&claim.worker)
    };
    let lost = study.trials.iter().position(|trial| trial.claim.as_ref().is_some_and(is_lost));
    if let Some(number) = lost {
        let rung = study.trials[number].rungs.len();
        let taken_over_from = release(&mut study.trials[number]);
        if exceeds(study, rung, asking) {
            return Ok(Next::OutOfBudget);
        }
        study.trials[number].n_takeovers += 1;
        return Ok(Next::Job(Job { taken_over_from, ..begin(study, number, asking, moment) }));
    }
    let n_running = study.trials.iter().filter(|trial| trial.claim.is_some()).count();
    let next = promotable(study).or_else(|| {
        if study.trials.len() < asking.max_trials {
            Some(study.trials.len())
        } else if n_running == 0 {
            unfinished_best(study)
        } else {
            None
        }
    });
    let Some(number) = next else {
        return Ok(if n_running == 0 { Next::Complete } else { Next::Wait });
    };
    let rung = study.trials.get(number).map_or(0, |trial| trial.rungs.len());
    if exceeds(study, rung, asking) {
        return Ok(Next::OutOfBudget);
    }
    if number == study.trials.len() {
        let parameters = sampler::draw(study)?;
        study.trials.push(Trial::new(number, parameters));
    }
    Ok(Next::Job(begin(study, number, asking, moment)))
}

/// A trial among the best `1/reduction_factor` of its rung that has not gone on yet; of the highest rung that has one.
fn promotable(study: &Study) -> Option<usize> {
    (0..study.definition.rungs.len() - 1).rev().find_map(|rung| {
        let ranked = study.ranked(rung);
        let n_failed = study.trials.iter().filter(|trial| failed_before(trial, rung)).count();
        let n_promoted = (ranked.len() + n_failed) / study.definition.reduction_factor;
        let waits = |trial: &&&Trial| trial.state == TrialState::Paused && trial.rungs.len() == rung + 1;
        ranked.iter().take(n_promoted).find(waits).map(|trial| trial.number)
    })
}

/// Whether a trial failed on its way to this rung: it counts as one of the worst there.
fn failed_before(trial: &Trial, rung: usize) -> bool {
    trial.state == TrialState::Failed && trial.rungs.len() == rung
}

/// The best trial once there is nothing else to do: few trials would otherwise leave the last rungs empty. A trial that
/// was drawn and released again because it did not fit into an earlier budget comes first.
fn unfinished_best(study: &Study) -> Option<usize> {
    let fresh = study.trials.iter().find(|trial| trial.state == TrialState::Paused && trial.rungs.is_empty());
    let paused = |(trial, _): &(&Trial, _)| trial.state == TrialState::Paused;
    fresh.or_else(|| study.best().filter(paused).map(|(trial, _)| trial)).map(|trial| trial.number)
}

/// Takes a trial from whoever was lost with it; its processor time stays counted.
fn release(trial: &mut Trial) -> Option<String> {
    let claim = trial.claim.take()?;
    trial.cpu_seconds += claim.cpu_seconds;
    trial.state = TrialState::Paused;
    Some(claim.worker)
}

fn begin(study: &mut Study, number: usize, asking: &Asking, moment: &Moment) -> Job {
    let trial = &mut study.trials[number];
    let rung = trial.rungs.len();
    trial.generation += 1;
    trial.state = TrialState::Running;
    trial.workers.push(asking.worker.clone());
    trial.claim = Some(Claim {
        worker: asking.worker.clone(),
        host: asking.host.clone(),
        rung,
        lease_until: moment.now + asking.lease_seconds,
        cpu_seconds: 0.0,
    });
    let epochs = study.definition.rungs[rung];
    Job { trial: number, generation: trial.generation, rung, epochs, taken_over_from: None }
}

/// Whether training a trial to a rung is expected to end beyond the budget, with what others are still at. Before any
/// rung was reached nothing is known of the cost.
fn exceeds(study: &Study, rung: usize, asking: &Asking) -> bool {
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
    let claims = study.trials.iter().filter_map(|trial| trial.claim.as_ref());
    let outstanding: f64 =
        claims.map(|claim| (per_epoch * to_rung(claim.rung) - claim.cpu_seconds).max(0.0)).sum();
    let expected = study.cpu_seconds() + outstanding + per_epoch * to_rung(rung);
    expected > asking.budget_cpu_seconds || study.cpu_seconds() >= asking.budget_cpu_seconds
}

/// The trial of a job, if the claim still holds.
fn held<'a>(study: &'a mut Study, job: &Job) -> Option<&'a mut Trial> {
    let trial = study.trials.get_mut(job.trial)?;
    (trial.generation == job.generation && trial.claim.is_some()).then_some(trial)
}

/// A sign of life: false when the trial was taken over.
pub fn renew(study: &mut Study, job: &Job, cpu_seconds: f64, lease_seconds: f64, moment: &Moment) -> bool {
    let claim = held(study, job).and_then(|trial| trial.claim.as_mut());
    claim.is_some_and(|claim| {
        claim.lease_until = moment.now + lease_seconds;
        claim.cpu_seconds = cpu_seconds;
        true
    })
}

/// Enters what training to the rung gave: false when the trial was taken over, and nothing is written then.
pub fn finish(study: &mut Study, job: &Job, outcome: &Result<Progress, String>, cpu_seconds: f64) -> bool {
    let last_rung = study.definition.rungs.len() - 1;
    let before = |trial: &Trial| trial.rungs.iter().map(|result| result.cpu_seconds).sum::<f64>();
    let Some(total) = held(study, job).map(|trial| trial.cpu_seconds + cpu_seconds - before(trial)) else {
        // A store that lost its answer asks again: what is already entered is no loss.
        let trial = study.trials.get(job.trial);
        return trial.is_some_and(|trial| {
            trial.generation == job.generation && (trial.rungs.len() > job.rung || trial.error.is_some())
        });
    };
    let result = outcome.as_ref().map_err(Clone::clone).and_then(|progress| {
        let result = study.result(job.rung, progress, total).ok_or("no epoch was trained")?;
        let finite = result.value.is_finite() && result.select_loss.is_finite();
        if finite { Ok((result, points(progress))) } else { Err("the loss is no number".to_owned()) }
    });
    let Some(trial) = held(study, job) else { return false };
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
    let point = |e: &crate::train::checkpoint::EpochMetrics| EpochPoint {
        epoch: e.epoch,
        train_loss: e.train_loss,
        select_loss: e.select_loss,
        select_auc: e.select_auc,
    };
    progress.history.iter().map(point).collect()
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
