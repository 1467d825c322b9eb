//! A released bundle, opened again: the bundle itself, a session for one of its variants, and the data that it was made with.

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

/// Opens the bundle in a folder. With a key, the bundle must be signed by it. Without one only the digests are checked: a hospital that
/// measures a bundle on its own machine need not trust the key of its maker.
pub fn open(folder: &Path, key: Option<&VerifyingKey>) -> Result<Bundle> {
    read(folder, key).with_context(|| format!("{}: is no usable bundle", folder.display()))
}

/// As [`open`], with the error that says which part of the bundle does not match.
pub fn read(folder: &Path, key: Option<&VerifyingKey>) -> Result<Bundle, BundleError> {
    let trust = key.map_or(Trust::Unsigned, |key| Trust::SignedBy(vec![*key]));
    Bundle::open(|name| std::fs::read(folder.join(name)), &trust)
}

/// A session for a variant of a bundle, on the processor.
///
/// # Errors
/// When ONNX Runtime cannot be loaded or refuses the graph.
pub fn session(bundle: &Bundle, variant: &Variant, onnxruntime: &Path) -> Result<Session> {
    let graph = bundle.file(&variant.file).with_context(|| format!("{}: not in the bundle", variant.file))?;
    let runtime = Runtime::load(onnxruntime)?;
    Ok(runtime.session(graph, &bundle.manifest().model, &SessionOptions::default())?)
}

/// SHA-256 of a variant's graph, which stands for the weights of a released model.
pub fn graph_digest(bundle: &Bundle, variant: &Variant) -> String {
    bundle.manifest().files[&variant.file].sha256.clone()
}

/// How a bundle turns images into model inputs.
pub fn recipe(bundle: &Bundle) -> Recipe {
    let manifest = bundle.manifest();
    Recipe { acceptance: manifest.acceptance, preprocess: manifest.preprocess }
}

/// A released bundle with the data that it was made with.
#[derive(Debug)]
pub struct Released<'a> {
    /// The bundle.
    pub bundle: Bundle,
    /// The data.
    pub index: Index,
    /// Its folds, those of the bundle.
    pub folds: Folds,
    config: &'a Config,
}

impl<'a> Released<'a> {
    /// Opens a bundle and the configured data.
    pub fn open(config: &'a Config, folder: &Path) -> Result<Self> {
        Self::with_data(open(folder, None)?, config)
    }

    /// A bundle with the configured data.
    ///
    /// # Errors
    /// When the data does not give the folds that the bundle was made with.
    pub fn with_data(bundle: Bundle, config: &'a Config) -> Result<Self> {
        let index = Index::of(config)?;
        let folds = Folds::of(&index, config)?;
        let (found, expected) = (folds.digest()?, &bundle.manifest().training.split_sha256);
        ensure!(
            found == *expected,
            "the data in {} do not give the folds that the bundle was made with (digest {found}, expected {expected}): its train fold could be among them",
            index.root.display()
        );
        Ok(Self { bundle, index, folds, config })
    }

    /// Name and version.
    pub fn name(&self) -> String {
        let manifest = self.bundle.manifest();
        format!("{} {}", manifest.name, manifest.version)
    }

    /// How images become model inputs.
    pub fn recipe(&self) -> Recipe {
        recipe(&self.bundle)
    }

    /// Decodes one fold.
    ///
    /// # Errors
    /// Lists every image that cannot be used.
    pub fn pixels(&self, fold: Fold, recipe: &Recipe) -> Result<Pixels> {
        Pixels::of_fold(self.config, &self.index, &self.folds, fold, recipe)
    }
}
