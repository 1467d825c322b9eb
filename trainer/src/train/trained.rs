//! A finished training run, opened with its best weights and its data.

use crate::config::Config;
use crate::data::census::Census;
use crate::data::entry::images_digest;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::data::ledger::{self, Look};
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use crate::model::{Network, Precision, weights};
use crate::run::RunDirectory;
use crate::train::checkpoint::EpochMetrics;
use crate::train::score::{Scores, score};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tch::Device;

#[derive(Debug)]
pub struct TrainedRun<'a> {
    pub config: &'a Config,
    pub run: &'a RunDirectory,
    pub index: Index,
    pub folds: Folds,
    /// Averaged weights of the best epoch, in float32.
    pub network: Network,
    pub epoch: EpochMetrics,
    pub weights_sha256: String,
    pub device: Device,
}

impl<'a> TrainedRun<'a> {
    pub fn open(config: &'a Config, run: &'a RunDirectory, device: Device) -> Result<Self> {
        let index = Index::of(config)?;
        let folds = Folds::frozen(&run.folds(), &index, config)?;
        let file = run.best_weights();
        let bytes = std::fs::read(&file)
            .with_context(|| format!("{}: cannot be read; run `cxr-trainer train` first", file.display()))?;
        let (tensors, metadata) = weights::read(&file)?;
        let epoch = serde_json::from_str(&metadata.unwrap_or_default())
            .with_context(|| format!("{}: does not name its epoch", file.display()))?;
        let network = Network::new(config.model.architecture, config.model.dropout, Precision::Fp32, device);
        weights::copy(&tensors, &network.named_tensors()).with_context(|| file.display().to_string())?;
        let weights_sha256 = cxr::bundle::sha256_hex(&bytes);
        Ok(Self { config, run, index, folds, network, epoch, weights_sha256, device })
    }

    pub fn ledger(&self) -> PathBuf {
        ledger::path(&self.config.evaluation, &ledger::beside(&self.run.file("")))
    }

    /// Recorded looks at this test fold, by any run.
    pub fn looks(&self) -> Result<Vec<Look>> {
        let test: BTreeSet<&String> = self.folds.folds.get(&Fold::Test).into_iter().flatten().collect();
        let images = images_digest(self.index.entries.iter().filter(|entry| test.contains(&entry.path)));
        ledger::looks(&self.config.evaluation, &self.run.file(""), &images)
    }

    /// How images become network input, CLAHE included.
    pub fn recipe(&self) -> Recipe {
        Recipe { acceptance: self.config.acceptance, preprocess: self.config.served_preprocess() }
    }

    pub fn census(&self) -> Result<Census> {
        Census::new(&self.index, &self.folds, &self.config.data)
    }

    pub fn pixels(&self, fold: Fold) -> Result<Pixels> {
        Pixels::of_fold(self.config, &self.index, &self.folds, fold, &self.recipe())
    }

    pub fn score(&self, fold: Fold) -> Result<(Pixels, Scores)> {
        let pixels = self.pixels(fold)?;
        let scores = score(&self.network, &pixels, self.device, fold.name())?;
        Ok((pixels, scores))
    }
}
