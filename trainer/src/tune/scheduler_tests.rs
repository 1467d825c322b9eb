//! The scheduler on synthetic results: promotions, takeovers and stale claims.

use super::*;
use crate::config::tune::{Objective, Range, Sampler};
use crate::tune::study::Definition;

pub(in crate::tune) fn study() -> Study {
    let definition = Definition {
        config_sha256: String::new(),
        dataset_sha256: None,
        configuration: None,
        seed: 1,
        sampler: Sampler::Tpe,
        startup_trials: 4,
        objective: Objective::SelectLoss,
        auc_tolerance: 0.01,
        rungs: vec![1, 3, 9],
        reduction_factor: 3,
        space: [("training.learning_rate".to_owned(), Range::LogUniform([1e-4, 1e-2]))].into(),
    };
    Study { definition, trials: Vec::new() }
}

fn request(worker: &str, max_trials: usize) -> ClaimRequest {
    ClaimRequest {
        worker: worker.to_owned(),
        host: "here".to_owned(),
        max_trials,
        budget_cpu_seconds: 1e9,
        lease_seconds: 10.0,
    }
}

fn at(now: f64) -> Liveness {
    Liveness { now, dead_workers: BTreeSet::new() }
}

fn job(study: &mut Study, request: &ClaimRequest, now: f64) -> Job {
    match claim(study, request, &at(now)).expect("a draw") {
        Next::Job(job) => job,
        other => panic!("{other:?}"),
    }
}

fn progress(epochs: usize, select_loss: f64, select_auc: f64) -> Progress {
    let metrics = |epoch| EpochMetrics { epoch, select_loss, select_auc, ..Default::default() };
    Progress { history: (1..=epochs).map(metrics).collect(), ..Progress::default() }
}

/// Smaller the nearer the rate is to 1e-3.
fn loss(study: &Study, trial: usize) -> f64 {
    let rate = study.trials[trial].parameters["training.learning_rate"].as_f64().expect("a number");
    0.1 + (rate.log10() + 3.0).abs()
}

fn run_to_the_end(study: &mut Study, request: &ClaimRequest) -> Next {
    loop {
        match claim(study, request, &at(0.0)).expect("a draw") {
            Next::Job(job) => {
                let progress = progress(job.epochs, loss(study, job.trial), 0.99);
                assert!(finish(study, &job, &Ok(progress), 10.0));
            }
            end => return end,
        }
    }
}

#[test]
fn the_best_third_is_promoted_and_the_best_trial_reaches_the_last_rung() {
    let mut study = study();
    // A sampler that learns draws ever better trials, and more than a third would be promoted.
    study.definition.sampler = Sampler::QuasiRandom;
    assert_eq!(run_to_the_end(&mut study, &request("a", 18)), Next::Complete);
    let reached = |n: usize| study.trials.iter().filter(|trial| trial.rungs.len() >= n).count();
    assert_eq!(study.trials.len(), 18);
    assert!((6..=9).contains(&reached(2)) && (2..=4).contains(&reached(3)), "{} {}", reached(2), reached(3));
    let (best, result) = study.best().expect("results");
    let smallest = (0..18).map(|trial| loss(&study, trial)).fold(f64::INFINITY, f64::min);
    assert!((result.value - smallest).abs() < 1e-12 && result.epochs == 9, "{best:?}");
}

#[test]
fn the_estimator_draws_better_trials_than_the_start() {
    let mut study = study();
    run_to_the_end(&mut study, &request("a", 40));
    let mean = |from: usize, to: usize| {
        (from..to).map(|trial| loss(&study, trial)).sum::<f64>() / (to - from) as f64
    };
    assert!(mean(20, 40) < 0.6 * mean(0, 4), "{} {}", mean(20, 40), mean(0, 4));
}

#[test]
fn with_few_trials_the_best_still_reaches_the_last_rung() {
    let mut study = study();
    assert_eq!(run_to_the_end(&mut study, &request("a", 2)), Next::Complete);
    assert_eq!(study.best().map(|(_, result)| result.epochs), Some(9));
}

#[test]
fn trials_whose_auc_falls_behind_rank_last() {
    let mut study = study();
    for (loss, auc) in [(0.1, 0.90), (0.3, 0.99), (0.2, 0.985)] {
        let job = job(&mut study, &request("a", 3), 0.0);
        assert!(finish(&mut study, &job, &Ok(progress(1, loss, auc)), 1.0));
    }
    let order: Vec<usize> = study.ranked(0).iter().map(|trial| trial.number).collect();
    assert_eq!(order, [2, 1, 0]);
}

#[test]
fn a_trial_has_one_holder_and_a_lost_worker_changes_nothing() {
    let mut study = study();
    let first = job(&mut study, &request("a", 1), 0.0);
    assert_eq!(claim(&mut study, &request("b", 1), &at(9.0)).expect("no draw"), Next::Wait);
    assert!(renew(&mut study, &first, 5.0, 10.0, &at(9.0)));
    assert_eq!(claim(&mut study, &request("b", 1), &at(18.0)).expect("no draw"), Next::Wait);

    let second = job(&mut study, &request("b", 1), 20.0);
    assert_eq!((second.trial, second.rung, second.taken_over_from.as_deref()), (0, 0, Some("a")));
    assert!(!renew(&mut study, &first, 9.0, 10.0, &at(20.0)));
    assert!(!finish(&mut study, &first, &Ok(progress(1, 0.5, 0.9)), 9.0));
    assert!(finish(&mut study, &second, &Ok(progress(1, 0.4, 0.9)), 3.0));
    assert!(finish(&mut study, &second, &Ok(progress(1, 0.4, 0.9)), 3.0), "a repeated edit is accepted");
    let trial = &study.trials[0];
    assert_eq!((trial.rungs.len(), trial.n_takeovers, trial.generation), (1, 1, 2));
    assert!((trial.cpu_seconds - 8.0).abs() < 1e-9, "lost work counts: {}", trial.cpu_seconds);

    let third = job(&mut study, &request("a", 1), 21.0);
    let dead_workers = Liveness { now: 21.0, dead_workers: ["a".to_owned()].into() };
    let Next::Job(fourth) = claim(&mut study, &request("b", 1), &dead_workers).expect("no draw") else {
        panic!()
    };
    assert_eq!((fourth.trial, fourth.rung, fourth.generation), (0, 1, third.generation + 1));
}

#[test]
fn no_job_starts_that_would_exceed_the_budget() {
    let mut study = study();
    let mut request = request("a", 100);
    request.budget_cpu_seconds = 95.0;
    assert_eq!(run_to_the_end(&mut study, &request), Next::OutOfBudget);
    assert!(study.cpu_seconds() <= 95.0 && study.cpu_seconds() >= 70.0, "{}", study.cpu_seconds());
    request.budget_cpu_seconds = 150.0;
    run_to_the_end(&mut study, &request);
    assert!(study.cpu_seconds() > 95.0 && study.cpu_seconds() <= 150.0);
}

#[test]
fn a_failed_trial_counts_as_the_worst() {
    let mut study = study();
    for n in 0..3 {
        let job = job(&mut study, &request("a", 3), 0.0);
        let outcome = if n == 0 { Err("diverged".to_owned()) } else { Ok(progress(1, 0.1 * n as f64, 0.9)) };
        assert!(finish(&mut study, &job, &outcome, 1.0));
    }
    let next = job(&mut study, &request("a", 3), 0.0);
    assert_eq!((next.trial, next.rung), (1, 1));
}
