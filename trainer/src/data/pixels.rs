//! Decoded pixels of a fold, preprocessed as in the service and mapped from the cache.

use super::cache::{self, Header, Slot};
use super::entry::Entry;
use super::folds::{Fold, Folds};
use super::index::Index;
use super::parallel::parallel;
use super::readable::read;
use super::recipe::Recipe;
use crate::config::Config;
use crate::progress::{Meter, say};
use anyhow::{Result, bail, ensure};
use cxr::statistics::ImageStatistics;
use indicatif::ProgressBar;
use memmap2::{Mmap, UncheckedAdvice};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Images at the model's size, uint8.
#[derive(Debug)]
pub struct Pixels {
    pub entries: Vec<Entry>,
    pub statistics: Vec<ImageStatistics>,
    /// Width and height.
    pub size: (u32, u32),
    images: Mmap,
}

impl Pixels {
    pub fn of_fold(
        config: &Config,
        index: &Index,
        folds: &Folds,
        fold: Fold,
        recipe: &Recipe,
    ) -> Result<Self> {
        let entries = folds.entries(index, fold)?;
        let meter = Meter::new(format!("decoding {}", fold.name()), entries.len());
        let cache = cache::folder(config.data.cache.as_deref())?;
        Self::decode(index, entries, recipe, &cache, meter.bar())
    }

    /// From the cache in `folder`; decodes the images on all processors if they are not in it.
    pub fn decode(
        index: &Index,
        entries: Vec<Entry>,
        recipe: &Recipe,
        folder: &Path,
        progress: &ProgressBar,
    ) -> Result<Self> {
        ensure!(!entries.is_empty(), "{}: the fold holds no image", index.root.display());
        let size = (recipe.preprocess.width, recipe.preprocess.height);
        let slot = Slot::new(folder, &entries, recipe)?;
        let (images, header) = match slot.open() {
            Some(cached) => cached,
            None => fill(&slot, index, &entries, recipe, progress)?,
        };
        Ok(Self { entries, statistics: header.statistics, size, images })
    }

    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never true.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn image(&self, position: usize) -> &[u8] {
        let n_pixels = (self.size.0 * self.size.1) as usize;
        &self.images[position * n_pixels..(position + 1) * n_pixels]
    }

    /// Concatenated pixels of several images. The map releases their pages, so that the resident set does not
    /// grow to the whole fold; they stay in the page cache.
    pub fn gather(&self, positions: &[usize]) -> Vec<u8> {
        let mut gathered = Vec::with_capacity(positions.len() * (self.size.0 * self.size.1) as usize);
        for position in positions {
            gathered.extend_from_slice(self.image(*position));
        }
        // SAFETY: the file is never written, so a released page is read again with the same bytes.
        let _ = unsafe { self.images.unchecked_advise(UncheckedAdvice::DontNeed) };
        gathered
    }

    pub fn positive(&self) -> Vec<bool> {
        self.entries.iter().map(|entry| entry.positive).collect()
    }
}

/// Decodes a fold into its slot, or waits for another process that does.
fn fill(
    slot: &Slot,
    index: &Index,
    entries: &[Entry],
    recipe: &Recipe,
    progress: &ProgressBar,
) -> Result<(Mmap, Header)> {
    let _lock = slot.lock()?;
    if let Some(cached) = slot.open() {
        return Ok(cached);
    }
    if slot.is_taken() {
        say("the cached pixels do not match their header: decoding again");
    }
    progress.set_length(entries.len() as u64);
    let file = slot.partial()?;
    let statistics = decode_into(&file, index, entries, recipe, progress)?;
    slot.publish(&file, statistics)
}

/// Writes each entry at its position in the file; returns the statistics.
fn decode_into(
    file: &File,
    index: &Index,
    entries: &[Entry],
    recipe: &Recipe,
    progress: &ProgressBar,
) -> Result<Vec<ImageStatistics>> {
    let n_pixels = u64::from(recipe.preprocess.width) * u64::from(recipe.preprocess.height);
    let results = parallel(entries, progress, |position, entry| -> Result<ImageStatistics> {
        let input = recipe.prepare(&read(index, entry)?)?;
        ensure!(input.pixels().len() as u64 == n_pixels, "{} pixels", input.pixels().len());
        file.write_all_at(input.pixels(), position as u64 * n_pixels)?;
        Ok(*input.statistics())
    })?;
    let (mut statistics, mut unreadable) = (Vec::new(), Vec::new());
    for (result, entry) in results.into_iter().zip(entries) {
        match result {
            Ok(of_image) => statistics.push(of_image),
            Err(error) => unreadable.push(format!("  {}: {error:#}", entry.path)),
        }
    }
    if !unreadable.is_empty() {
        bail!("{} images cannot be used:\n{}", unreadable.len(), unreadable.join("\n"));
    }
    Ok(statistics)
}
