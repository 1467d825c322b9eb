//! `trainer.export`: the bundle.

use super::required::unstated;
use anyhow::{Result, ensure};
use cxr::intended_use::IntendedUse;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `export`: the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Its folder; none for one in the run directory.
    pub directory: Option<PathBuf>,
    /// Its name; empty where it is not stated.
    #[serde(deserialize_with = "unstated")]
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// What the service calls the negative and the positive class; none for the rule of [`Config::labels`](super::Config::labels).
    pub labels: Option<[String; 2]>,
    /// Largest size of all its files.
    pub max_bytes: usize,
    /// Private key that signs it.
    pub signing_key: PathBuf,
    /// Untouched originals of some images of the dataset, in the same layout.
    pub originals: Option<PathBuf>,
    /// Whether the bundle has an int8 variant beside fp32.
    pub int8: bool,
    /// Images of the train fold from which the ranges of its values come.
    pub int8_images: usize,
    /// Bits of its weights, sign included: 7 or 8.
    pub int8_weight_bits: u32,
    /// Largest share of the select fold's verdicts that it may change.
    pub int8_max_flips: f64,
    /// Who and what the model is for; an empty statement where it is not stated.
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
        ensure!(
            self.int8_images > 0,
            "trainer.export.int8_images: at least one image says what the ranges are"
        );
        ensure!(
            (0.0..=1.0).contains(&self.int8_max_flips),
            "trainer.export.int8_max_flips: {} is no share",
            self.int8_max_flips
        );
        Ok(())
    }
}
