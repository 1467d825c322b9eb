//! Directories of TIFF 6.0 and BigTIFF: finds the image's directory and reads its tags. Every offset and
//! count is checked against the file, and no allocation depends on a declared length.

use crate::decode::{check_frames, corrupt, truncated};
use crate::limits::DecodeLimits;
use crate::reject::Rejection;

/// Real files have fewer than 100.
const MAX_ENTRIES: u64 = 4096;
/// Pages also count against `max_frames`, thumbnails only against this.
const MAX_DIRECTORIES: usize = 64;

const NEW_SUBFILE_TYPE: u16 = 254;
const SUBFILE_TYPE: u16 = 255;

/// The file's bytes and number format.
#[derive(Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// BigTIFF: 8-byte counts and offsets.
    big: bool,
}

/// A directory whose entries lie inside the file.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a> {
    file: File<'a>,
    entries: &'a [u8],
    next: u64,
}

/// The unsigned integers of one tag.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    file: File<'a>,
    bytes: &'a [u8],
    size: usize,
}

/// The directory of the full-resolution image. Thumbnails and masks are skipped.
pub(super) fn image<'a>(bytes: &'a [u8], limits: &DecodeLimits) -> Result<Directory<'a>, Rejection> {
    let (file, mut at) = File::open(bytes)?;
    let (mut seen, mut image, mut n_images) = (Vec::new(), None, 0);
    while at != 0 {
        if seen.contains(&at) {
            return Err(corrupt("the TIFF's directories form a loop"));
        }
        if seen.len() == MAX_DIRECTORIES {
            return Err(corrupt(format!("the TIFF has more than {MAX_DIRECTORIES} directories")));
        }
        seen.push(at);
        let directory = file.directory(at)?;
        if directory.is_full_image()? {
            n_images += 1;
            check_frames(n_images, limits)?;
            image.get_or_insert(directory);
        }
        at = directory.next;
    }
    image.ok_or_else(|| match seen.len() {
        0 => corrupt("the TIFF has no directory"),
        _ => Rejection {
            advice: "export the image at full resolution, not its thumbnail",
            ..corrupt("the TIFF holds only thumbnails (NewSubfileType 1)")
        },
    })
}

impl<'a> File<'a> {
    /// Parses the header and returns the offset of the first directory.
    fn open(bytes: &'a [u8]) -> Result<(Self, u64), Rejection> {
        let mut file = Self { bytes, big_endian: bytes.first() == Some(&b'M'), big: false };
        file.big = file.number(2, 2)? == 43;
        if file.big && (file.number(4, 2)?, file.number(6, 2)?) != (8, 0) {
            return Err(corrupt("the BigTIFF header does not declare 8-byte offsets"));
        }
        let first = if file.big { file.number(8, 8)? } else { file.number(4, 4)? };
        Ok((file, first))
    }

    fn directory(self, at: u64) -> Result<Directory<'a>, Rejection> {
        let (count_size, entry_size) = if self.big { (8, 20) } else { (2, 12) };
        let n_entries = self.number(at, count_size)?;
        if n_entries > MAX_ENTRIES {
            return Err(corrupt(format!("a TIFF directory with {n_entries} entries")));
        }
        let first = at + count_size as u64;
        let entries = self.slice(first, n_entries * entry_size)?;
        let next = self.number(first + n_entries * entry_size, if self.big { 8 } else { 4 })?;
        Ok(Directory { file: self, entries, next })
    }

    fn slice(self, at: u64, n_bytes: u64) -> Result<&'a [u8], Rejection> {
        let end = at.checked_add(n_bytes).ok_or_else(|| truncated("TIFF"))?;
        let (at, end) = (usize::try_from(at), usize::try_from(end));
        let (Ok(at), Ok(end)) = (at, end) else { return Err(truncated("TIFF")) };
        self.bytes.get(at..end).ok_or_else(|| truncated("TIFF"))
    }

    fn number(self, at: u64, size: usize) -> Result<u64, Rejection> {
        self.slice(at, size as u64).map(|bytes| self.unsigned(bytes))
    }

    fn unsigned(self, bytes: &[u8]) -> u64 {
        let append = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
    }
}

impl<'a> Directory<'a> {
    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.file.bytes
    }

    pub(super) const fn big_endian(&self) -> bool {
        self.file.big_endian
    }

    /// Values of a tag; `None` without the tag. If a tag has several entries, libtiff takes the first and the
    /// crate `tiff` the last, so entries that contradict each other are rejected.
    pub(super) fn values(&self, tag: u16) -> Result<Option<Values<'a>>, Rejection> {
        let (entry_size, count_size) = if self.file.big { (20, 8) } else { (12, 4) };
        let of_tag = |entry: &&[u8]| self.file.unsigned(&entry[..2]) == u64::from(tag);
        let mut entries = self.entries.chunks_exact(entry_size).filter(of_tag);
        let Some(entry) = entries.next() else { return Ok(None) };
        if entries.any(|other| other != entry) {
            return Err(corrupt(format!("the TIFF has two different entries for tag {tag}")));
        }
        let size = match self.file.unsigned(&entry[2..4]) {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            kind => return Err(corrupt(format!("TIFF tag {tag} is not an unsigned integer (type {kind})"))),
        };
        let (count, field) = entry[4..].split_at(count_size);
        let n_bytes = self.file.unsigned(count).saturating_mul(size as u64);
        let bytes = match usize::try_from(n_bytes).ok().and_then(|n_bytes| field.get(..n_bytes)) {
            Some(inside) => inside,
            None => self.file.slice(self.file.unsigned(field), n_bytes)?,
        };
        Ok(Some(Values { file: self.file, bytes, size }))
    }

    /// First value of a tag.
    pub(super) fn value(&self, tag: u16) -> Result<Option<u64>, Rejection> {
        let Some(values) = self.values(tag)? else { return Ok(None) };
        values.get(0).map(Some).ok_or_else(|| corrupt(format!("TIFF tag {tag} has no value")))
    }

    /// Whether this is a full image, not a thumbnail (NewSubfileType bit 0, SubfileType 2) or a mask
    /// (NewSubfileType bit 2).
    fn is_full_image(&self) -> Result<bool, Rejection> {
        if let Some(kind) = self.value(NEW_SUBFILE_TYPE)? {
            return Ok(kind & 0b101 == 0);
        }
        Ok(self.value(SUBFILE_TYPE)? != Some(2))
    }
}

impl Values<'_> {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    pub(super) fn get(&self, index: usize) -> Option<u64> {
        let bytes = self.bytes.get(index * self.size..(index + 1) * self.size)?;
        Some(self.file.unsigned(bytes))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.bytes.chunks_exact(self.size).map(|bytes| self.file.unsigned(bytes))
    }
}
