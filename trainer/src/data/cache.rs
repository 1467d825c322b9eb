//! The pixel cache: the decoded images of a fold, one byte per pixel, in a file that runs with the same
//! images and recipe map into memory.
//!
//! The key is the SHA-256 of everything the bytes depend on: path and digest of each image, the recipe, the
//! version of `cxr`. A header file holds the key, the sizes, the statistics of each image and the digest of
//! the pixels, under a digest of its own. Both files are written atomically, pixels first. One process
//! decodes a fold while others wait for it. The folder may be deleted at any time.

use super::entry::Entry;
use super::recipe::Recipe;
use crate::files;
use anyhow::{Context, Result, ensure};
use cxr::bundle::sha256_hex;
use cxr::statistics::ImageStatistics;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Increase it when decoding or preprocessing gives other bytes or statistics for the same recipe.
const FORMAT: u32 = 3;
const CHUNK: usize = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    sha256: String,
    header: Header,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    key: String,
    n_images: usize,
    width: u32,
    height: u32,
    pixels_sha256: String,
    pub statistics: Vec<ImageStatistics>,
}

/// The files of one fold, which may not exist yet.
#[derive(Debug)]
pub struct Slot {
    folder: PathBuf,
    key: String,
    n_images: usize,
    size: (u32, u32),
}

impl Slot {
    pub fn new(folder: &Path, entries: &[Entry], recipe: &Recipe) -> Result<Self> {
        let mut text = format!("format {FORMAT}\ncxr {}\n", env!("CARGO_PKG_VERSION"));
        text.push_str(&serde_json::to_string(&(&recipe.acceptance, &recipe.preprocess))?);
        for entry in entries {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}  {}", entry.sha256, entry.path);
        }
        Ok(Self {
            folder: folder.to_owned(),
            key: sha256_hex(text.as_bytes()),
            n_images: entries.len(),
            size: (recipe.preprocess.width, recipe.preprocess.height),
        })
    }

    /// Waits for a process that decodes this fold, and locks the slot until the file is dropped.
    pub fn lock(&self) -> Result<File> {
        let lock = || -> std::io::Result<File> {
            std::fs::create_dir_all(&self.folder)?;
            let file = File::options().create(true).truncate(false).write(true).open(self.file("lock"))?;
            file.lock()?;
            Ok(file)
        };
        lock().with_context(|| self.advice())
    }

    /// Creates the file for pixels in progress. It overwrites one that a killed process left behind.
    pub fn partial(&self) -> Result<File> {
        let create = || -> std::io::Result<File> {
            let path = self.file("partial");
            let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
            reserve(&file, self.bytes())?;
            Ok(file)
        };
        create().with_context(|| self.advice())
    }

    pub fn publish(&self, file: &File, statistics: Vec<ImageStatistics>) -> Result<(Mmap, Header)> {
        let publish = || -> std::io::Result<(Mmap, String)> {
            let written = (map(file)?, digest(file)?);
            file.sync_all()?;
            std::fs::rename(self.file("partial"), self.file("u8"))?;
            Ok(written)
        };
        let (pixels, pixels_sha256) =
            publish().with_context(|| format!("{}: cannot be written", self.file("u8").display()))?;
        let (key, n_images, (width, height)) = (self.key.clone(), self.n_images, self.size);
        let header = Header { key, n_images, width, height, pixels_sha256, statistics };
        let sha256 = sha256_hex(&serde_json::to_vec(&header)?);
        let sealed = Sealed { sha256, header };
        files::write_atomically(&self.file("json"), &serde_json::to_vec(&sealed)?)?;
        Ok((pixels, sealed.header))
    }

    /// Whether there is a header, valid or not.
    pub fn is_taken(&self) -> bool {
        self.file("json").exists()
    }

    /// The cached pixels; none if they are missing or do not match the header.
    pub fn open(&self) -> Option<(Mmap, Header)> {
        let Sealed { sha256, header } =
            serde_json::from_slice(&std::fs::read(self.file("json")).ok()?).ok()?;
        let file = File::open(self.file("u8")).ok()?;
        let fits = sha256_hex(&serde_json::to_vec(&header).ok()?) == sha256
            && header.key == self.key
            && header.n_images == self.n_images
            && (header.width, header.height) == self.size
            && header.statistics.len() == self.n_images
            && file.metadata().ok()?.len() == self.bytes()
            && digest(&file).ok()? == header.pixels_sha256;
        if fits { Some((map(&file).ok()?, header)) } else { None }
    }

    fn bytes(&self) -> u64 {
        self.n_images as u64 * u64::from(self.size.0) * u64::from(self.size.1)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.key))
    }

    fn advice(&self) -> String {
        let megabytes = self.bytes().div_ceil(1_000_000);
        format!(
            "{}: the pixel cache cannot be written; set trainer.data.cache to a folder with {megabytes} MB to spare",
            self.folder.display()
        )
    }
}

/// The configured folder, else `pixels` in CXR_CACHE, else in the user's cache folder.
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

/// SHA-256 of the chunks' digests. It reads the file, because hashing the map would make all of it resident.
fn digest(file: &File) -> std::io::Result<String> {
    let n_bytes = file.metadata()?.len();
    let (mut chunk, mut digests) = (vec![0; CHUNK], String::new());
    for offset in (0..n_bytes).step_by(CHUNK) {
        let chunk = &mut chunk[..CHUNK.min((n_bytes - offset) as usize)];
        file.read_exact_at(chunk, offset)?;
        digests.push_str(&sha256_hex(chunk));
    }
    Ok(sha256_hex(digests.as_bytes()))
}

/// Allocates the file, so that a full disk fails before decoding starts.
fn reserve(file: &File, bytes: u64) -> std::io::Result<()> {
    // SAFETY: the descriptor stays open during the call.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) } {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(error)),
    }
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: a published file is only replaced by rename, and a partial one belongs to this process.
    unsafe { Mmap::map(file) }
}
