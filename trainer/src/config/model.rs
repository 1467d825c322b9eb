//! `trainer.model`: the architecture and its initial weights.

use super::check_fraction;
use crate::model::Architecture;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub architecture: Architecture,
    pub weights: Option<PathBuf>,
    pub dropout: f64,
    /// Number of backbone stages, from the input on, whose weights and batch statistics are frozen.
    pub freeze_depth: usize,
}

impl Model {
    /// Checks that the file with the initial weights exists.
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
        check_fraction("model.dropout", self.dropout)
    }
}
