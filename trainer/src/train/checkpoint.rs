//! Checkpoints: one file per run, replaced atomically after every epoch. Every epoch derives its own seed, so
//! it holds no random state.

use crate::files;
use crate::model::Network;
use crate::model::weights::{self, NamedTensors};
use crate::train::optimiser::Optimiser;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: usize,
    pub step: usize,
    /// Mean class-weighted loss on the augmented train fold.
    pub train_loss: f64,
    /// Class-weighted loss of the averaged weights on the select fold.
    pub select_loss: f64,
    /// Area under the ROC curve of the averaged weights on the select fold.
    pub select_auc: f64,
    /// At the last step of the epoch.
    pub learning_rate: f64,
    /// Missing in the metadata of the best weights, which depend on the seed alone.
    #[serde(default)]
    pub images_per_second: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    pub config_sha256: String,
    pub folds_sha256: String,
    pub history: Vec<EpochMetrics>,
}

impl Progress {
    pub const fn epochs(&self) -> usize {
        self.history.len()
    }

    pub fn steps(&self) -> usize {
        self.history.last().map_or(0, |epoch| epoch.step)
    }

    /// The epoch with the largest AUC. A fold of a few hundred images cannot resolve more than three
    /// decimals, so ties at three decimals go to the smallest loss (three decimals too), then to the latest
    /// epoch.
    pub fn best(&self) -> Option<&EpochMetrics> {
        let thousandths = |value: f64| (value * 1e3).round() as i64;
        self.history.iter().max_by_key(|e| (thousandths(e.select_auc), -thousandths(e.select_loss)))
    }

    /// Epochs since the best one, not counting epochs that train the classifier alone.
    pub fn epochs_without_improvement(&self, head_first_epochs: usize) -> usize {
        self.best().map_or(0, |best| self.epochs().saturating_sub(best.epoch.max(head_first_epochs)))
    }
}

#[derive(Debug)]
pub struct State {
    pub network: Network,
    pub average: Network,
    pub optimiser: Optimiser,
    pub progress: Progress,
}

impl State {
    pub fn save(&self, file: &Path) -> Result<()> {
        files::write_atomically(
            file,
            &weights::encode(&self.tensors(), serde_json::to_string(&self.progress)?)?,
        )
    }

    /// Loads a checkpoint of the same configuration and folds.
    pub fn resume(&mut self, file: &Path) -> Result<()> {
        let (tensors, metadata) = weights::read(file)?;
        let restore = || -> Result<()> {
            let progress: Progress =
                serde_json::from_str(&metadata.unwrap_or_default()).context("not a checkpoint")?;
            ensure!(
                progress.config_sha256 == self.progress.config_sha256
                    && progress.folds_sha256 == self.progress.folds_sha256,
                "belongs to another configuration or other folds"
            );
            weights::copy(&tensors, &self.tensors())?;
            self.progress = progress;
            Ok(())
        };
        restore().with_context(|| file.display().to_string())
    }

    fn tensors(&self) -> NamedTensors {
        let part = |prefix: &str, tensors: NamedTensors| {
            tensors.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)).collect::<Vec<_>>()
        };
        let network = part("network", self.network.named_tensors());
        let average = part("average", self.average.named_tensors());
        let optimiser = part("optimiser", self.optimiser.state());
        network.into_iter().chain(average).chain(optimiser).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_at_three_decimals_go_to_the_latest_epoch() {
        let with_loss = |epoch, select_auc, select_loss| EpochMetrics {
            epoch,
            step: epoch * 10,
            select_loss,
            select_auc,
            ..Default::default()
        };
        let epoch = |number, select_auc| with_loss(number, select_auc, 0.1);
        let history = vec![epoch(1, 0.99), epoch(2, 0.9984), epoch(3, 0.9981), epoch(4, 0.996)];
        let progress = Progress { history, ..Default::default() };
        assert_eq!(progress.best().map(|best| best.epoch), Some(3));
        assert_eq!((progress.epochs(), progress.steps(), progress.epochs_without_improvement(0)), (4, 40, 1));
        assert_eq!(progress.epochs_without_improvement(4), 0);
        let history = vec![with_loss(1, 0.9984, 0.05), with_loss(2, 0.9981, 0.09)];
        assert_eq!(Progress { history, ..Default::default() }.best().map(|best| best.epoch), Some(1));
        assert_eq!(Progress::default().epochs_without_improvement(0), 0);
    }
}
