//! `trainer.training`: the optimisation.

use super::share::fraction;
use crate::model::Precision;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Cross-entropy, weighted so that both classes count alike.
    WeightedCrossEntropy,
    /// The same times the distance to the target to the power of `focal_gamma` (Lin et al. 2017).
    Focal,
}

/// `loss`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Which.
    pub kind: LossKind,
    /// Exponent of the focal loss.
    pub focal_gamma: f64,
    /// Share by which targets move to the middle.
    pub label_smoothing: f64,
}

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Weight decay apart from the gradient (Loshchilov and Hutter 2019).
    AdamW,
    /// Weight decay within the gradient (Kingma and Ba 2015).
    Adam,
}

/// `training`: the optimisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the train fold.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// What is minimised.
    pub loss: Loss,
    /// What minimises it.
    pub optimiser: OptimiserKind,
    /// Epochs at the beginning in which the classifier learns alone.
    pub head_first_epochs: usize,
    /// Parameter of the Beta distribution of the shares in which images are mixed in pairs; 0 mixes nothing.
    pub mixup_alpha: f64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Factor of the learning rate from one stage to the one before it.
    pub layer_decay: f64,
    /// Share of the steps before the peak.
    pub warmup_fraction: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm.
    pub gradient_norm: Option<f64>,
    /// Decay of the averaged weights, per step; none for no average.
    pub average_decay: Option<f64>,
    /// Epochs without improvement.
    pub patience: usize,
    /// Precision of the convolutions.
    pub precision: Precision,
    /// Threads that gather images.
    pub workers: usize,
    /// Whether libraries must choose algorithms that repeat their results.
    pub deterministic: bool,
}

impl Training {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0, "trainer.training.epochs: must be at least 1");
        ensure!(self.batch_size > 1, "trainer.training.batch_size: batch normalisation needs at least 2");
        ensure!(self.learning_rate > 0.0, "trainer.training.learning_rate: must be positive");
        fraction("training.warmup_fraction", self.warmup_fraction)?;
        fraction("training.average_decay", self.average_decay.unwrap_or(0.0))?;
        fraction("training.loss.label_smoothing", self.loss.label_smoothing)?;
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
