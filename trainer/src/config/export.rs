//! `trainer.export`: the bundle.

use super::unstated;
use anyhow::{Result, ensure};
use cxr::intended_use::IntendedUse;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    pub directory: Option<PathBuf>,
    /// Empty if not stated.
    #[serde(deserialize_with = "unstated")]
    pub name: String,
    pub version: String,
    /// Names of the negative and the positive class. None: see [`Config::labels`](super::Config::labels).
    pub labels: Option<[String; 2]>,
    pub max_bytes: usize,
    pub signing_key: PathBuf,
    pub originals: Option<PathBuf>,
    pub int8: bool,
    pub int8_images: usize,
    pub int8_weight_bits: u32,
    pub int8_max_flips: f64,
    /// The statement is empty if not stated.
    #[serde(deserialize_with = "unstated")]
    pub intended_use: IntendedUse,
}

impl Export {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            (7..=8).contains(&self.int8_weight_bits),
            "trainer.export.int8_weight_bits: {} is neither 7 nor 8",
            self.int8_weight_bits
        );
        if let Some([negative, positive]) = &self.labels {
            ensure!(
                !negative.trim().is_empty() && !positive.trim().is_empty() && negative != positive,
                "trainer.export.labels: two different names are needed, such as [NORMAL, PNEUMONIA]"
            );
        }
        ensure!(self.int8_images > 0, "trainer.export.int8_images: at least 1");
        ensure!(
            (0.0..=1.0).contains(&self.int8_max_flips),
            "trainer.export.int8_max_flips: {} is not in [0, 1]",
            self.int8_max_flips
        );
        Ok(())
    }
}
