//! Checkpoints: after every epoch, everything that the next one depends on, in one file that is replaced atomically.
//! Generators need no place in it: every epoch and every sample seeds its own.

use crate::files;
use crate::model::Network;
use crate::model::weights::{self, NamedTensors};
use crate::train::optimiser::Optimiser;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How one epoch went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: usize,
    /// Steps made since the beginning.
    pub step: usize,
    /// Mean weighted loss over the augmented train fold.
    pub train_loss: f64,
    /// The averaged weights' weighted loss on the select fold.
    pub select_loss: f64,
    /// Their area under the ROC curve there.
    pub select_auc: f64,
    /// Of the last step.
    pub learning_rate: f64,
    /// In training. Not in the file of the best weights, which is the same for the same seed.
    #[serde(default)]
    pub images_per_second: f64,
}

/// Where training stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// [`Config::digest`](crate::config::Config::digest) of the run.
    pub config_sha256: String,
    /// Digest of the frozen folds.
    pub folds_sha256: String,
    /// Every finished epoch.
    pub history: Vec<EpochMetrics>,
}

impl Progress {
    /// Finished epochs.
    pub const fn epochs(&self) -> usize {
        self.history.len()
    }

    /// Finished steps.
    pub fn steps(&self) -> usize {
        self.history.last().map_or(0, |epoch| epoch.step)
    }

    /// The epoch with the largest area under the curve, to three decimals: a fold of some hundred images cannot tell
    /// finer. Of equals the one with the smallest loss, to three decimals as well, and of those the last.
    pub fn best(&self) -> Option<&EpochMetrics> {
        let thousandths = |value: f64| (value * 1e3).round() as i64;
        self.history.iter().max_by_key(|e| (thousandths(e.select_auc), -thousandths(e.select_loss)))
    }

    /// Epochs since the best. Those in which the classifier learns alone are not counted.
    pub fn epochs_without_improvement(&self, head_first_epochs: usize) -> usize {
        self.best().map_or(0, |best| self.epochs().saturating_sub(best.epoch.max(head_first_epochs)))
    }
}

/// What is trained, and what its steps depend on.
#[derive(Debug)]
pub struct State {
    /// The network that makes the steps.
    pub network: Network,
    /// The average of its weights.
    pub average: Network,
    /// The optimiser.
    pub optimiser: Optimiser,
    /// What has been done.
    pub progress: Progress,
}

impl State {
    /// Writes everything to `file`.
    pub fn save(&self, file: &Path) -> Result<()> {
        files::write_atomically(
            file,
            &weights::encode(&self.tensors(), serde_json::to_string(&self.progress)?)?,
        )
    }

    /// Goes on from `file`.
    ///
    /// # Errors
    /// When the file belongs to another configuration or other folds.
    pub fn resume(&mut self, file: &Path) -> Result<()> {
        let (tensors, note) = weights::read(file)?;
        let note = note.with_context(|| format!("{}: is not a checkpoint", file.display()))?;
        let progress: Progress = serde_json::from_str(&note)
            .with_context(|| format!("{}: is not a checkpoint", file.display()))?;
        ensure!(
            progress.config_sha256 == self.progress.config_sha256
                && progress.folds_sha256 == self.progress.folds_sha256,
            "{}: belongs to another configuration or other folds",
            file.display()
        );
        weights::copy(&tensors, &self.tensors())
            .with_context(|| format!("{}: does not fit", file.display()))?;
        self.progress = progress;
        Ok(())
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
    fn the_best_epoch_is_the_last_of_those_that_the_fold_cannot_tell_apart() {
        let with_loss = |epoch, select_auc, select_loss| EpochMetrics {
            epoch,
            step: epoch * 10,
            train_loss: 0.1,
            select_loss,
            select_auc,
            learning_rate: 1e-4,
            images_per_second: 1.0,
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
