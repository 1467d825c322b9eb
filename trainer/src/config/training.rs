//! `trainer.training`: the optimisation.

use super::check_fraction;
use crate::model::Precision;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Cross-entropy, weighted by inverse class frequency.
    WeightedCrossEntropy,
    /// Times `(1 - p)^focal_gamma`, with `p` the probability of the label (Lin et al. 2017).
    Focal,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    pub kind: LossKind,
    pub focal_gamma: f64,
    pub label_smoothing: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW,
    /// Weight decay as part of the gradient (Kingma and Ba 2015).
    Adam,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    pub epochs: usize,
    pub batch_size: usize,
    pub loss: Loss,
    pub optimiser: OptimiserKind,
    pub head_first_epochs: usize,
    pub mixup_alpha: f64,
    pub learning_rate: f64,
    pub layer_decay: f64,
    pub warmup_fraction: f64,
    pub weight_decay: f64,
    pub gradient_norm: Option<f64>,
    pub average_decay: Option<f64>,
    pub patience: usize,
    pub precision: Precision,
    pub workers: usize,
    pub deterministic: bool,
}

impl Training {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0, "trainer.training.epochs: must be at least 1");
        ensure!(self.batch_size > 1, "trainer.training.batch_size: batch normalisation needs at least 2");
        ensure!(self.learning_rate > 0.0, "trainer.training.learning_rate: must be positive");
        check_fraction("training.warmup_fraction", self.warmup_fraction)?;
        check_fraction("training.average_decay", self.average_decay.unwrap_or(0.0))?;
        check_fraction("training.loss.label_smoothing", self.loss.label_smoothing)?;
        ensure!(self.loss.focal_gamma >= 0.0, "trainer.training.loss.focal_gamma: must not be negative");
        let (alpha, decay) = (self.mixup_alpha, self.layer_decay);
        ensure!(alpha >= 0.0 && alpha.is_finite(), "trainer.training.mixup_alpha: must not be negative");
        ensure!(0.0 < decay && decay <= 1.0, "trainer.training.layer_decay: {decay} is not in (0, 1]");
        ensure!(
            self.head_first_epochs < self.epochs,
            "trainer.training.head_first_epochs: leaves no epoch of {} for the backbone",
            self.epochs
        );
        ensure!(self.workers > 0, "trainer.training.workers: must be at least 1");
        Ok(())
    }
}
