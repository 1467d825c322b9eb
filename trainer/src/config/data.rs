//! `trainer.data`: which images, and how they are divided.

use super::fraction;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `data`: which images, and how they are divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder in Kaggle's layout.
    pub root: PathBuf,
    /// Folder of decoded pixels; none for the user's cache.
    pub cache: Option<PathBuf>,
    /// Human name.
    pub name: String,
    /// Share of the fold that chooses the epoch.
    pub select_fraction: f64,
    /// Share of the fold that fits calibration and operating point.
    pub calibrate_fraction: f64,
}

impl Data {
    pub(super) fn check(&self) -> Result<()> {
        fraction("data.select_fraction", self.select_fraction)?;
        fraction("data.calibrate_fraction", self.calibrate_fraction)?;
        let held_out = self.select_fraction + self.calibrate_fraction;
        ensure!(held_out < 1.0, "trainer.data: the fractions leave nothing to train on");
        Ok(())
    }
}
