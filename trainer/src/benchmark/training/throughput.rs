//! Images per second: the full training step, which gathers and augments its images, against the bare step on
//! one batch that stays on the device.

use super::{Plan, Spread, Stepper};
use crate::data::folds::Folds;
use crate::data::index::Index;
use crate::data::loader::Loader;
use crate::progress::say;
use crate::run::RunDirectory;
use crate::train::loader;
use crate::train::mixup::Mixup;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tch::Tensor;

/// Steps before anything is timed: libtorch chooses algorithms and the allocator grows.
const WARM_UP: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    pub full: f64,
    pub bare: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Steps per block.
    pub steps: usize,
    /// In order. Every second round begins with the bare block.
    pub rounds: Vec<Round>,
    pub full: Spread,
    /// Images per second of the bare step: forward, backward, optimiser and average, data path off.
    pub bare: Spread,
    /// Full over bare, round by round.
    pub ratio: Spread,
    /// Milliseconds in which one thread gathers a batch and draws its augmentation, outside of the steps.
    pub gather_ms: Spread,
    /// Milliseconds in which the device augments a batch, within the step.
    pub augment_ms: Spread,
}

/// Measures on the train fold of the configured data.
pub(super) fn measure(stepper: &mut Stepper, run: &RunDirectory, plan: &Plan) -> Result<Throughput> {
    let config = stepper.config;
    let index = Index::of(config)?;
    let folds = Folds::frozen(&run.folds(), &index, config)?;
    let loader = loader(config, &index, &folds)?;
    let first = loader.epoch(0).next().context("the train fold fills no batch")??;
    let resident = (first.images(stepper.device)?, first.labels(stepper.device));
    bare(stepper, &resident, WARM_UP)?;
    full(stepper, &loader, 0, WARM_UP)?;
    let mut rounds = Vec::with_capacity(plan.rounds);
    for round in 1..=plan.rounds {
        let n_images = (plan.steps * config.training.batch_size) as f64;
        let rates = if round % 2 == 1 {
            let full = n_images / full(stepper, &loader, round, plan.steps)?;
            Round { full, bare: n_images / bare(stepper, &resident, plan.steps)? }
        } else {
            let bare = n_images / bare(stepper, &resident, plan.steps)?;
            Round { full: n_images / full(stepper, &loader, round, plan.steps)?, bare }
        };
        say(format!(
            "round {round}/{}: full {:.1}, bare {:.1} images/s, ratio {:.3}",
            plan.rounds,
            rates.full,
            rates.bare,
            rates.full / rates.bare
        ));
        rounds.push(rates);
    }
    let (gather_ms, augment_ms) = data_path(stepper, &loader, plan.steps.max(4))?;
    let throughput = Throughput {
        steps: plan.steps,
        full: Spread::of(rounds.iter().map(|round| round.full)),
        bare: Spread::of(rounds.iter().map(|round| round.bare)),
        ratio: Spread::of(rounds.iter().map(|round| round.full / round.bare)),
        rounds,
        gather_ms,
        augment_ms,
    };
    say(format!("full step   {} images/s", throughput.full));
    say(format!("bare step   {} images/s", throughput.bare));
    say(format!("full / bare {}", throughput.ratio));
    say(format!(
        "data path   gather {} ms, augment {} ms a batch",
        throughput.gather_ms, throughput.augment_ms
    ));
    Ok(throughput)
}

/// Seconds for `n_steps`. The loader begins with nothing prepared and its threads end with the block, so that
/// no part of the data path falls into the bare block.
fn full(stepper: &mut Stepper, loader: &Loader, epoch: usize, n_steps: usize) -> Result<f64> {
    let started = Instant::now();
    let mut n_made = 0;
    // A fold with fewer batches is repeated.
    while n_made < n_steps {
        let mut mixup = Mixup::new(stepper.config.training.mixup_alpha, loader.seed, epoch)?;
        for batch in loader.epoch(epoch).take(n_steps - n_made) {
            let batch = batch?;
            let (images, labels) = mixup.blend(batch.images(stepper.device)?, batch.labels(stepper.device));
            stepper.step(&images, &labels)?;
            n_made += 1;
        }
    }
    Ok(started.elapsed().as_secs_f64())
}

fn bare(stepper: &mut Stepper, (images, labels): &(Tensor, Tensor), n_steps: usize) -> Result<f64> {
    let started = Instant::now();
    for _ in 0..n_steps {
        stepper.step(images, labels)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Milliseconds per batch to gather it and draw its augmentation, and to augment it on the device, measured
/// apart.
fn data_path(stepper: &Stepper, loader: &Loader, n_batches: usize) -> Result<(Spread, Spread)> {
    let (mut gathered, mut varied) = (Vec::new(), Vec::new());
    for first in 0..n_batches {
        let positions: Vec<usize> =
            (0..loader.batch_size).map(|i| (first * loader.batch_size + i) % loader.pixels.len()).collect();
        let started = Instant::now();
        let batch = loader.batch(first, &positions);
        gathered.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        let images = batch.images(stepper.device)?;
        // Reading one value waits for a GPU.
        let _ = images.double_value(&[0, 0, 0, 0]);
        varied.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok((Spread::of(gathered.into_iter()), Spread::of(varied.into_iter())))
}
