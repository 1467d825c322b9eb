//! `trainer.training`: the optimisation.

use super::fraction;
use crate::model::{N_STAGES, Precision};
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
    /// `loss`.
    pub loss: Loss,
    /// Share of one image in a mixture of two is drawn from Beta(alpha, alpha); 0 mixes nothing.
    pub mixup_alpha: f64,
    /// Which optimiser.
    pub optimiser: OptimiserKind,
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
    /// `average`; none selects, calibrates and exports the weights of the last step.
    pub average: Option<Average>,
    /// Leading stages of the backbone that are never trained.
    pub freeze_depth: usize,
    /// First epochs in which the classifier alone is trained.
    pub head_first_epochs: usize,
    /// Epochs without improvement.
    pub patience: usize,
    /// Precision of the convolutions.
    pub precision: Precision,
    /// Whether libtorch may only use algorithms that give the same bits twice.
    pub deterministic: bool,
    /// Threads that prepare images.
    pub workers: usize,
}

/// `loss`: what a step descends on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Which loss.
    pub kind: LossKind,
    /// Exponent of the focal loss's modulating factor.
    pub gamma: f64,
    /// Share of every label that is spread over both classes.
    pub label_smoothing: f64,
}

/// The losses there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Cross-entropy with class weights.
    WeightedCrossEntropy,
    /// Focal loss (Lin et al. 2017) with class weights.
    Focal,
}

/// The optimisers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Adam (Kingma and Ba 2015); weight decay is a part of the gradient.
    Adam,
    /// AdamW (Loshchilov and Hutter 2019); weight decay is a step of its own.
    AdamW,
}

/// `average`: the exponential moving average of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {
    /// Decay per step.
    pub decay: f64,
}

impl Training {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0, "trainer.training.epochs: must be at least 1");
        ensure!(self.batch_size > 1, "trainer.training.batch_size: batch normalisation needs at least 2");
        ensure!(self.learning_rate > 0.0, "trainer.training.learning_rate: must be positive");
        fraction("training.warmup_fraction", self.warmup_fraction)?;
        fraction("training.loss.label_smoothing", self.loss.label_smoothing)?;
        for (key, value) in [
            ("loss.gamma", self.loss.gamma),
            ("mixup_alpha", self.mixup_alpha),
            ("weight_decay", self.weight_decay),
        ] {
            ensure!(value.is_finite() && value >= 0.0, "trainer.training.{key}: {value} is negative");
        }
        if let Some(average) = self.average {
            fraction("training.average.decay", average.decay)?;
        }
        let decay = self.layer_decay;
        ensure!(0.0 < decay && decay <= 1.0, "trainer.training.layer_decay: {decay} is not in (0, 1]");
        ensure!(
            self.freeze_depth <= N_STAGES,
            "trainer.training.freeze_depth: a backbone has {N_STAGES} stages, not {}",
            self.freeze_depth
        );
        ensure!(
            self.head_first_epochs <= self.epochs,
            "trainer.training.head_first_epochs: {} of {} epochs",
            self.head_first_epochs,
            self.epochs
        );
        ensure!(self.workers > 0, "trainer.training.workers: must be at least 1");
        Ok(())
    }
}
