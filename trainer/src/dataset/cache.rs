//! The pixel cache: a fold decoded once, one byte a pixel, in a file that is mapped into memory and shared by every run
//! that wants the same images through the same recipe.
//!
//! The key is the SHA-256 of everything the bytes depend on: each image's path and digest, the recipe, the version of the
//! domain library. The header beside the pixels carries the key, the sizes and each image's statistics; both files appear
//! atomically, pixels first, so a header never promises pixels that are not there.

use super::index::Entry;
use super::pixels::Recipe;
use crate::files;
use anyhow::{Context, Result, ensure};
use cxr::bundle::sha256_hex;
use cxr::statistics::ImageStatistics;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Changed whenever decoding or preprocessing gives other bytes for the same recipe.
const FORMAT: u32 = 1;

/// `<key>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    key: String,
    n_images: usize,
    width: u32,
    height: u32,
    /// SHA-256 of the pixel file.
    pixels_sha256: String,
    /// One an image.
    pub statistics: Vec<ImageStatistics>,
}

/// Where one fold's pixels are or will be.
#[derive(Debug)]
pub struct Slot {
    folder: PathBuf,
    key: String,
    n_images: usize,
    size: (u32, u32),
}

impl Slot {
    /// The slot for these images through this recipe.
    pub fn new(folder: &Path, entries: &[Entry], recipe: &Recipe) -> Result<Self> {
        let mut text = format!("format {FORMAT}\ncxr {}\n", env!("CARGO_PKG_VERSION"));
        text.push_str(&serde_json::to_string(&(&recipe.acceptance, &recipe.preprocess))?);
        for entry in entries {
            text.push_str(&format!("\n{}  {}", entry.sha256, entry.path));
        }
        Ok(Self {
            folder: folder.to_owned(),
            key: sha256_hex(text.as_bytes()),
            n_images: entries.len(),
            size: (recipe.preprocess.width, recipe.preprocess.height),
        })
    }

    /// Where the pixels are written before they are complete. Processes that decode the same fold at the same time each
    /// write their own file; the last to finish wins, with the same bytes.
    pub fn partial(&self) -> Result<(PathBuf, File)> {
        let create = || -> std::io::Result<(PathBuf, File)> {
            std::fs::create_dir_all(&self.folder)?;
            let path = self.folder.join(format!("{}.{}.partial", self.key, std::process::id()));
            let file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
            file.set_len(self.bytes())?;
            Ok((path, file))
        };
        create().with_context(|| {
            format!(
                "{}: the pixel cache cannot be written; set trainer.data.cache to a folder with {} MB",
                self.folder.display(),
                self.bytes() / 1_000_000
            )
        })
    }

    /// Makes a complete partial file the cached one.
    ///
    /// # Errors
    /// Names the file.
    pub fn publish(
        &self,
        partial: &Path,
        file: &File,
        statistics: Vec<ImageStatistics>,
    ) -> Result<(Mmap, Header)> {
        let pixels = map(file).with_context(|| format!("{}: cannot be mapped", partial.display()))?;
        let header = Header {
            key: self.key.clone(),
            n_images: self.n_images,
            width: self.size.0,
            height: self.size.1,
            pixels_sha256: sha256_hex(&pixels),
            statistics,
        };
        let publish = || -> std::io::Result<()> {
            file.sync_all()?;
            std::fs::rename(partial, self.pixels())
        };
        publish().with_context(|| format!("{}: cannot be written", self.pixels().display()))?;
        files::write_json(&self.header(), &header)?;
        Ok((pixels, header))
    }

    /// The cached pixels; none where there are none, or where they are not what the header says.
    pub fn open(&self) -> Option<(Mmap, Header)> {
        let header: Header = serde_json::from_slice(&std::fs::read(self.header()).ok()?).ok()?;
        let pixels = map(&File::open(self.pixels()).ok()?).ok()?;
        let fits = header.key == self.key
            && header.n_images == self.n_images
            && (header.width, header.height) == self.size
            && header.statistics.len() == self.n_images
            && pixels.len() as u64 == self.bytes()
            && sha256_hex(&pixels) == header.pixels_sha256;
        fits.then_some((pixels, header))
    }

    fn bytes(&self) -> u64 {
        self.n_images as u64 * u64::from(self.size.0) * u64::from(self.size.1)
    }

    fn pixels(&self) -> PathBuf {
        self.folder.join(format!("{}.u8", self.key))
    }

    fn header(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.key))
    }
}

/// The configured folder, or `pixels` in CXR_CACHE, or in the user's cache folder.
///
/// # Errors
/// When no home is known.
pub fn folder(configured: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = configured {
        return Ok(folder.to_owned());
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("CXR_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("cxr")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/cxr")));
    ensure!(folder.is_some(), "no cache folder is known: set trainer.data.cache");
    Ok(folder.unwrap_or_default().join("pixels"))
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: a published file is never written again, only replaced by renaming another one over it, and a partial one
    // belongs to this process; a map of either keeps its own bytes.
    unsafe { Mmap::map(file) }
}
