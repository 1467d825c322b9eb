//! Decoded pixels of a fold, prepared as the service prepares them and mapped from the cache.

use super::cache::{self, Header, Slot};
use super::entry::Entry;
use super::folds::{Fold, Folds};
use super::index::Index;
use super::recipe::Recipe;
use crate::config::Config;
use crate::progress::{Meter, say};
use anyhow::{Result, bail, ensure};
use cxr::ModelInput;
use cxr::bundle::sha256_hex;
use cxr::statistics::ImageStatistics;
use indicatif::ProgressBar;
use memmap2::{Mmap, UncheckedAdvice};
use std::fs::File;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A fold's images at the model's size, uint8.
#[derive(Debug)]
pub struct Pixels {
    /// What each image is.
    pub entries: Vec<Entry>,
    /// Statistics of each accepted image.
    pub statistics: Vec<ImageStatistics>,
    /// Columns and rows.
    pub size: (u32, u32),
    images: Mmap,
}

impl Pixels {
    /// A fold's pixels, through the configured cache.
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

    /// The entries' pixels from the cache in `folder`, decoded on all processors where it lacks them.
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

    /// Number of images.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none; never true.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Pixels of one image, row-major.
    pub fn image(&self, position: usize) -> &[u8] {
        let n_pixels = (self.size.0 * self.size.1) as usize;
        &self.images[position * n_pixels..(position + 1) * n_pixels]
    }

    /// Pixels of several images, one after the other. The map lets go of them at once: they stay in the system's file
    /// cache, which gives them up when memory is short, and do not add up to the whole fold within this process.
    pub fn gather(&self, positions: &[usize]) -> Vec<u8> {
        let mut gathered = Vec::with_capacity(positions.len() * (self.size.0 * self.size.1) as usize);
        for position in positions {
            gathered.extend_from_slice(self.image(*position));
        }
        // SAFETY: the map is of a file and never written, so a page that is needed again comes back with the same bytes.
        // A system that refuses keeps the pages, which is no error.
        let _ = unsafe { self.images.unchecked_advise(UncheckedAdvice::DontNeed) };
        gathered
    }

    /// Classes in order.
    pub fn positive(&self) -> Vec<bool> {
        self.entries.iter().map(|entry| entry.positive).collect()
    }
}

/// Decodes a fold into its slot, or waits for the process that does.
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
        say("the cached pixels are not what their header says: decoding again");
    }
    progress.set_length(entries.len() as u64);
    let file = slot.partial()?;
    let statistics = decode_into(&file, index, entries, recipe, progress)?;
    slot.publish(&file, statistics)
}

/// Decodes every entry into its place in the file; returns the statistics.
fn decode_into(
    file: &File,
    index: &Index,
    entries: &[Entry],
    recipe: &Recipe,
    progress: &ProgressBar,
) -> Result<Vec<ImageStatistics>> {
    let n_threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(entries.len());
    let n_pixels = u64::from(recipe.preprocess.width) * u64::from(recipe.preprocess.height);
    let next = AtomicUsize::new(0);
    let one = |position: usize, entry: &Entry| -> Result<ImageStatistics> {
        let input = read(&index.root, entry, recipe)?;
        ensure!(input.pixels().len() as u64 == n_pixels, "{} pixels", input.pixels().len());
        file.write_all_at(input.pixels(), position as u64 * n_pixels)?;
        Ok(*input.statistics())
    };
    let work = || {
        let mut done = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(position) else { return done };
            done.push((position, one(position, entry)));
            progress.inc(1);
        }
    };
    let mut results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    results.sort_by_key(|(position, _)| *position);
    ensure!(results.len() == entries.len(), "decoding stopped early");
    let (mut statistics, mut unreadable) = (Vec::new(), Vec::new());
    for ((_, result), entry) in results.into_iter().zip(entries) {
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

fn read(root: &Path, entry: &Entry, recipe: &Recipe) -> Result<ModelInput> {
    let bytes = std::fs::read(root.join(&entry.path))?;
    ensure!(sha256_hex(&bytes) == entry.sha256, "changed while it was being read");
    recipe.prepare(&bytes)
}
