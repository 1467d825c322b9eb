//! `trainer.training`: the optimisation.

use super::fraction;
use crate::model::Precision;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// `training`: the optimisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the train fold.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the steps before the peak.
    pub warmup_fraction: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm.
    pub gradient_norm: Option<f64>,
    /// Decay of the averaged weights, per step.
    pub average_decay: f64,
    /// Epochs without improvement.
    pub patience: usize,
    /// Precision of the convolutions.
    pub precision: Precision,
    /// Threads that prepare images.
    pub workers: usize,
}

impl Training {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0, "trainer.training.epochs: must be at least 1");
        ensure!(self.batch_size > 1, "trainer.training.batch_size: batch normalisation needs at least 2");
        ensure!(self.learning_rate > 0.0, "trainer.training.learning_rate: must be positive");
        fraction("training.warmup_fraction", self.warmup_fraction)?;
        fraction("training.average_decay", self.average_decay)?;
        ensure!(self.workers > 0, "trainer.training.workers: must be at least 1");
        Ok(())
    }
}
