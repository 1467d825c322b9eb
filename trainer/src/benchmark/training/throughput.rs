//! Images per second of the full training step, which gathers and augments its images, and of the bare step
//! on one batch that stays on the device.

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

/// Untimed steps, in which libtorch chooses algorithms and the allocator grows.
const WARM_UP: usize = 3;

/// Images per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    pub full: f64,
    pub bare: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    pub steps: usize,
    /// Every second round begins with the bare block.
    pub rounds: Vec<Round>,
    /// Images per second.
    pub full: Spread,
    /// Images per second of forward, backward, optimiser and average, without the data path.
    pub bare: Spread,
    /// Full over bare, per round.
    pub ratio: Spread,
    /// Per batch: one thread gathers it and draws its augmentation, in parallel to the steps.
    pub gather_ms: Spread,
    /// Per batch: the device augments it, as part of the step.
    pub augment_ms: Spread,
}

pub(super) fn measure(stepper: &mut Stepper, run: &RunDirectory, plan: &Plan) -> Result<Throughput> {
    let config = stepper.config;
    let index = Index::of(config)?;
    let folds = Folds::frozen(&run.folds(), &index, config)?;
    let loader = loader(config, &index, &folds)?;
    let first = loader.epoch(0).next().context("the train fold has fewer images than a batch")??;
    let resident = (first.images(stepper.device)?, first.labels(stepper.device));
    bare(stepper, &resident, WARM_UP)?;
    full(stepper, &loader, 0, WARM_UP)?;
    let mut rounds = Vec::with_capacity(plan.rounds);
    for round in 1..=plan.rounds {
        let n_images = (plan.steps * config.training.batch_size) as f64;
        let (full, bare) = if round % 2 == 1 {
            let full = full(stepper, &loader, round, plan.steps)?;
            (full, bare(stepper, &resident, plan.steps)?)
        } else {
            let bare = bare(stepper, &resident, plan.steps)?;
            (full(stepper, &loader, round, plan.steps)?, bare)
        };
        let (full, bare) = (n_images / full, n_images / bare);
        let ratio = full / bare;
        say(format!(
            "round {round}/{}: full {full:.1}, bare {bare:.1} images/s, ratio {ratio:.3}",
            plan.rounds
        ));
        rounds.push(Round { full, bare });
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
    say(format!("data path   gather {gather_ms} ms, augment {augment_ms} ms a batch"));
    Ok(throughput)
}

/// Seconds for `n_steps`. The loader's threads end with the block, so that none run during the bare block.
fn full(stepper: &mut Stepper, loader: &Loader, epoch: usize, n_steps: usize) -> Result<f64> {
    let started = Instant::now();
    let mut n_made = 0;
    // Repeats a fold that has fewer batches.
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

/// See [`Throughput::gather_ms`] and [`Throughput::augment_ms`].
fn data_path(stepper: &Stepper, loader: &Loader, n_batches: usize) -> Result<(Spread, Spread)> {
    let (mut gathered, mut augmented) = (Vec::new(), Vec::new());
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
        augmented.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok((Spread::of(gathered.into_iter()), Spread::of(augmented.into_iter())))
}
