//! How good a set of weights is: class-weighted log loss and area under the curve on the select fold, on augmented copies
//! of it too where that is asked for.

use crate::config::Config;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::data::loader::Loader;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::model::Network;
use crate::train::loss::WeightedLoss;
use crate::train::score::score;
use anyhow::{Context, Result};
use cxr::PreprocessSpec;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use tch::Device;

/// Largest batch of augmented images.
const BATCH: usize = 64;

/// Figures of one set of weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// What decides: the mean loss over the select fold and its augmented copies; the select loss where there are none.
    pub judged: f64,
    /// Class-weighted log loss on the select fold.
    pub select_loss: f64,
    /// Area under the ROC curve there.
    pub select_auc: f64,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "select loss {:.4}, AUC {:.4}", self.select_loss, self.select_auc)?;
        if (self.judged - self.select_loss).abs() > f64::EPSILON {
            write!(f, ", with augmented copies {:.4}", self.judged)?;
        }
        Ok(())
    }
}

pub(super) struct Judge {
    select: Pixels,
    loss: WeightedLoss,
    augmented: Option<Loader>,
    n_copies: usize,
    device: Device,
}

impl Judge {
    pub(super) fn new(
        config: &Config,
        index: &Index,
        folds: &Folds,
        n_copies: usize,
        device: Device,
    ) -> Result<Self> {
        let train: Vec<bool> =
            folds.entries(index, Fold::Train)?.iter().map(|entry| entry.positive).collect();
        let select = decode_fold(config, index, folds, Fold::Select)?;
        let augmented = if n_copies > 0 { Some(copies(config, index, folds)?) } else { None };
        Ok(Self {
            select,
            loss: WeightedLoss::new(&train, config.training.loss),
            augmented,
            n_copies,
            device,
        })
    }

    pub(super) fn judge(&self, network: &Network) -> Result<Judgement> {
        let logits = score(network, &self.select, self.device, "select")?.logits;
        let positive = self.select.positive();
        let select_auc = cxr::analysis::scoring::roc::auc(&logits, &positive)
            .context("the select fold holds one class")?;
        let select_loss = self.loss.of_fold(&logits, &positive);
        let mut sum = select_loss;
        if let Some(loader) = &self.augmented {
            for copy in 1..=self.n_copies {
                sum += self.loss_of_copy(network, loader, copy)?;
            }
        }
        Ok(Judgement { judged: sum / (self.n_copies + 1) as f64, select_loss, select_auc })
    }

    fn loss_of_copy(&self, network: &Network, loader: &Loader, copy: usize) -> Result<f64> {
        let (mut logits, mut positive) = (Vec::new(), Vec::new());
        for batch in loader.epoch(copy) {
            let batch = batch?;
            let outputs = network.outputs(&batch.images(self.device)?);
            let scores: Vec<f32> = Vec::try_from(outputs.logits.flatten(0, -1))?;
            let labels: Vec<f32> = Vec::try_from(batch.labels(self.device).flatten(0, -1))?;
            logits.extend(scores.into_iter().map(f64::from));
            positive.extend(labels.into_iter().map(|label| label > 0.5));
        }
        Ok(self.loss.of_fold(&logits, &positive))
    }
}

/// Augmented copies of the select fold, the same for every set of weights.
fn copies(config: &Config, index: &Index, folds: &Folds) -> Result<Loader> {
    let preprocess = PreprocessSpec { clahe: None, ..config.preprocess };
    let recipe = Recipe { acceptance: config.acceptance, preprocess };
    let pixels = Arc::new(Pixels::of_fold(config, index, folds, Fold::Select, &recipe)?);
    // The loader drops what does not fill a batch: a divisor leaves nothing out.
    let batch_size = (1..=BATCH).rev().find(|size| pixels.len().is_multiple_of(*size)).unwrap_or(1);
    Ok(Loader {
        pixels,
        augmentation: config.augmentation.clone(),
        clahe: config.preprocess.clahe,
        seed: config.seed,
        batch_size,
        workers: config.training.workers,
    })
}

/// A fold as training sees it.
pub(super) fn decode_fold(config: &Config, index: &Index, folds: &Folds, fold: Fold) -> Result<Pixels> {
    Pixels::of_fold(
        config,
        index,
        folds,
        fold,
        &Recipe { acceptance: config.acceptance, preprocess: config.preprocess },
    )
}
