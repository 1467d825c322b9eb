//! `trainer.model`: the network before training.

use super::fraction;
use crate::model::Architecture;
use anyhow::Result;
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
}

impl Model {
    pub(super) fn check(&self) -> Result<()> {
        fraction("model.dropout", self.dropout)
    }
}
