//! Opens a released bundle, runs its variants, and pairs it with the data that it was trained on.

pub mod verify;
pub mod version;

use crate::config::Config;
use crate::data::folds::{Fold, Folds};
use crate::data::index::Index;
use crate::data::pixels::Pixels;
use crate::data::recipe::Recipe;
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, BundleError, Trust, Variant};
use ed25519_dalek::VerifyingKey;
use runtime::{Runtime, Session, SessionOptions};
use std::path::Path;

/// Opens the bundle in a folder. With a key, that key must have signed it; without one only the digests are
/// checked.
pub fn open(folder: &Path, key: Option<&VerifyingKey>) -> Result<Bundle> {
    read(folder, key).with_context(|| format!("{}: not a usable bundle", folder.display()))
}

/// As [`open`], with an error that identifies the failed check.
pub fn read(folder: &Path, key: Option<&VerifyingKey>) -> Result<Bundle, BundleError> {
    let trust = key.map_or(Trust::Unsigned, |key| Trust::SignedBy(vec![*key]));
    Bundle::open(|name| std::fs::read(folder.join(name)), &trust)
}

/// A session on the CPU.
pub fn session(bundle: &Bundle, variant: &Variant, onnxruntime: &Path) -> Result<Session> {
    let graph = bundle.file(&variant.file).with_context(|| format!("{}: not in the bundle", variant.file))?;
    let runtime = Runtime::load(onnxruntime)?;
    Ok(runtime.session(graph, &bundle.manifest().model, &SessionOptions::default())?)
}

/// SHA-256 of the graph, which identifies the weights of a released model.
pub fn graph_digest(bundle: &Bundle, variant: &Variant) -> String {
    bundle.manifest().files[&variant.file].sha256.clone()
}

pub fn recipe(bundle: &Bundle) -> Recipe {
    let manifest = bundle.manifest();
    Recipe { acceptance: manifest.acceptance, preprocess: manifest.preprocess }
}

/// A released bundle with the data that it was trained on.
#[derive(Debug)]
pub struct Released<'a> {
    pub bundle: Bundle,
    pub index: Index,
    pub folds: Folds,
    config: &'a Config,
}

impl<'a> Released<'a> {
    pub fn open(config: &'a Config, folder: &Path) -> Result<Self> {
        Self::with_data(open(folder, None)?, config)
    }

    /// Fails unless the configured data gives the folds that the bundle was trained with.
    pub fn with_data(bundle: Bundle, config: &'a Config) -> Result<Self> {
        let index = Index::of(config)?;
        let folds = Folds::of(&index, config)?;
        let (found, expected) = (folds.digest()?, &bundle.manifest().training.split_sha256);
        ensure!(
            found == *expected,
            "the data in {} do not give the folds of the bundle (digest {found}, expected {expected}): a fold could hold images that it was trained on",
            index.root.display()
        );
        Ok(Self { bundle, index, folds, config })
    }

    pub fn name(&self) -> String {
        let manifest = self.bundle.manifest();
        format!("{} {}", manifest.name, manifest.version)
    }

    pub fn recipe(&self) -> Recipe {
        recipe(&self.bundle)
    }

    pub fn pixels(&self, fold: Fold, recipe: &Recipe) -> Result<Pixels> {
        Pixels::of_fold(self.config, &self.index, &self.folds, fold, recipe)
    }
}
