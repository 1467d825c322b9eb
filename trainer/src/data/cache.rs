//! The pixel cache: a fold decoded once, one byte a pixel, in a file that is mapped into memory and shared by every run
//! that wants the same images through the same recipe.
//!
//! The key is the SHA-256 of everything the bytes depend on: each image's path and digest, the recipe, the version of the
//! domain library. The header beside the pixels carries the key, the sizes, each image's statistics and the pixels'
//! digest, under a digest of its own. Both files appear atomically, pixels first, so that a header never promises pixels
//! that are not there. One process decodes a fold; others that want it wait for that one. The folder may be deleted at
//! any time.

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

/// Changed whenever decoding or preprocessing gives other bytes for the same recipe.
const FORMAT: u32 = 2;
/// Bytes that are read at a time to verify pixels.
const PIECE: usize = 1 << 20;

/// `<key>.json`: the header under its digest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    sha256: String,
    header: Header,
}

/// What a pixel file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    key: String,
    n_images: usize,
    width: u32,
    height: u32,
    /// See [`digest`].
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

    /// Waits until no other process decodes this fold; none can while the file is held.
    pub fn lock(&self) -> Result<File> {
        let lock = || -> std::io::Result<File> {
            std::fs::create_dir_all(&self.folder)?;
            let file = File::options().create(true).truncate(false).write(true).open(self.file("lock"))?;
            file.lock()?;
            Ok(file)
        };
        lock().with_context(|| self.advice())
    }

    /// Where the pixels are written before they are complete; what a killed process left there is overwritten.
    pub fn partial(&self) -> Result<File> {
        let create = || -> std::io::Result<File> {
            let path = self.file("partial");
            let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
            reserve(&file, self.bytes())?;
            Ok(file)
        };
        create().with_context(|| self.advice())
    }

    /// Makes the complete partial file the cached one.
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

    /// Whether something lies in the slot, usable or not.
    pub fn is_taken(&self) -> bool {
        self.file("json").exists()
    }

    /// The cached pixels; none where there are none, or where they are not what the header says.
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

/// The configured folder, or `pixels` in CXR_CACHE, or in the user's cache folder.
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

/// SHA-256 of the pieces' digests. The file is read, not mapped: to hash a map would make all of it resident.
fn digest(file: &File) -> std::io::Result<String> {
    let n_bytes = file.metadata()?.len();
    let (mut piece, mut digests) = (vec![0; PIECE], String::new());
    for offset in (0..n_bytes).step_by(PIECE) {
        let piece = &mut piece[..PIECE.min((n_bytes - offset) as usize)];
        file.read_exact_at(piece, offset)?;
        digests.push_str(&sha256_hex(piece));
    }
    Ok(sha256_hex(digests.as_bytes()))
}

/// Takes the room now: a disk that is full is found before decoding, not after.
fn reserve(file: &File, bytes: u64) -> std::io::Result<()> {
    // SAFETY: a plain call on a descriptor that is open for the whole of it.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) } {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(error)),
    }
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: a published file is never written again, only replaced by renaming another one over it, and a partial one
    // belongs to this process; a map of either keeps its own bytes.
    unsafe { Mmap::map(file) }
}
