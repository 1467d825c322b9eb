//! Decoded pixels: a whole fold in memory, on the service's own way from bytes to model input.

use super::index::{Entry, Index};
use anyhow::{Result, bail, ensure};
use cxr::bundle::sha256_hex;
use cxr::metadata::AcquisitionMetadata;
use cxr::statistics::ImageStatistics;
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits, ModelInput, PreprocessSpec};
use indicatif::ProgressBar;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How an image becomes a model input.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Which images are accepted.
    pub acceptance: AcceptancePolicy,
    /// What is done to them.
    pub preprocess: PreprocessSpec,
}

impl Recipe {
    /// Bytes to model input.
    ///
    /// # Errors
    /// The reason, without the file's name.
    pub fn prepare(&self, bytes: &[u8]) -> Result<ModelInput> {
        let image = cxr::decode(bytes, &DecodeLimits::default())?;
        let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &self.acceptance)?;
        Ok(cxr::preprocess::preprocess(&accepted, &self.preprocess))
    }
}

/// A fold's images at the model's size, uint8.
#[derive(Debug)]
pub struct Pixels {
    /// What each image is.
    pub entries: Vec<Entry>,
    /// Statistics of each accepted image.
    pub statistics: Vec<ImageStatistics>,
    /// Columns and rows.
    pub size: (u32, u32),
    images: Vec<Vec<u8>>,
}

impl Pixels {
    /// Decodes every entry on all processors.
    ///
    /// # Errors
    /// Lists every image that cannot be read, or that changed since the index was made.
    pub fn decode(
        index: &Index,
        entries: Vec<Entry>,
        recipe: &Recipe,
        progress: &ProgressBar,
    ) -> Result<Self> {
        ensure!(!entries.is_empty(), "{}: the fold holds no image", index.root.display());
        progress.set_length(entries.len() as u64);
        let n_threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(entries.len());
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let position = next.fetch_add(1, Ordering::Relaxed);
                let Some(entry) = entries.get(position) else { return done };
                done.push((position, read(&index.root, entry, recipe)));
                progress.inc(1);
            }
        };
        let mut results = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        results.sort_by_key(|(position, _)| *position);
        ensure!(results.len() == entries.len(), "decoding stopped early");
        let size = (recipe.preprocess.width, recipe.preprocess.height);
        let (mut images, mut statistics, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for ((_, result), entry) in results.into_iter().zip(&entries) {
            match result {
                Ok(input) => {
                    let n_pixels = input.pixels().len();
                    ensure!(
                        n_pixels == (size.0 * size.1) as usize,
                        "{n_pixels} pixels for an input of {size:?}"
                    );
                    statistics.push(*input.statistics());
                    images.push(input.pixels().to_vec());
                }
                Err(error) => unreadable.push(format!("  {}: {error:#}", entry.path)),
            }
        }
        if !unreadable.is_empty() {
            bail!("{} images cannot be used:\n{}", unreadable.len(), unreadable.join("\n"));
        }
        Ok(Self { entries, statistics, size, images })
    }

    /// Number of images.
    pub const fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is none; never true.
    pub const fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Pixels of one image, row-major.
    pub fn image(&self, position: usize) -> &[u8] {
        &self.images[position]
    }

    /// Classes in order.
    pub fn positive(&self) -> Vec<bool> {
        self.entries.iter().map(|entry| entry.positive).collect()
    }
}

fn read(root: &Path, entry: &Entry, recipe: &Recipe) -> Result<ModelInput> {
    let bytes = std::fs::read(root.join(&entry.path))?;
    ensure!(sha256_hex(&bytes) == entry.sha256, "changed while it was being read");
    recipe.prepare(&bytes)
}
