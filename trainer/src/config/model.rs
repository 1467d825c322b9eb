//! `trainer.model`: the network before training.

use super::share::fraction;
use crate::model::Architecture;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `model`: the network before training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Which network.
    pub architecture: Architecture,
    /// Weights of the backbone; none for random ones.
    pub weights: Option<PathBuf>,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Stages of the backbone, from the input on, that keep their weights and statistics.
    pub freeze_depth: usize,
}

impl Model {
    /// Refuses weights that are not there.
    ///
    /// # Errors
    /// Names the key and the file.
    pub fn check_weights(&self) -> Result<()> {
        let Some(file) = &self.weights else { return Ok(()) };
        ensure!(
            file.is_file(),
            "trainer.model.weights: {}: no such file; name a safetensors file, or null for random weights",
            file.display()
        );
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        let n_stages = self.architecture.stages().len();
        ensure!(
            self.freeze_depth <= n_stages,
            "trainer.model.freeze_depth: {} has {n_stages} stages",
            self.architecture.name()
        );
        fraction("model.dropout", self.dropout)
    }
}
