//! The grid of strips or tiles over the image and their checked ranges in the file.

use super::directory::{Directory, Values};
use super::layout::{Compression, Layout};
use super::unsupported;
use crate::decode::{corrupt, truncated};
use crate::reject::Rejection;

const STRIP_OFFSETS: u16 = 273;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTE_COUNTS: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;

/// Each chunk resets the decoder. 40 megapixels in tiles of 16 x 16 make 156,250 chunks.
const MAX_CHUNKS: u64 = 1 << 18;
/// Largest tile padding to the right of the image, which has to be decoded: as large as the image, plus this
/// many pixels.
const MAX_PADDING: u64 = 1 << 21;

/// Strips or tiles in file order: left to right, top to bottom, then the next channel in planar files.
pub(super) struct Chunks<'a> {
    bytes: &'a [u8],
    offsets: Values<'a>,
    lengths: Values<'a>,
    name: &'static str,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) n_across: usize,
    pub(super) n_down: usize,
    /// Decoded bytes of one row of a chunk.
    pub(super) row_bytes: usize,
    image_height: usize,
    /// Uncompressed chunks are read only as far as their pixels need: some writers give the last strip the
    /// length of a full one.
    stored: bool,
}

impl<'a> Chunks<'a> {
    pub(super) fn of(directory: &Directory<'a>, layout: &Layout) -> Result<Self, Rejection> {
        let tile_width = directory.value(TILE_WIDTH)?;
        let (name, offsets, lengths) = match tile_width {
            Some(_) => ("tile", [TILE_OFFSETS, STRIP_OFFSETS], [TILE_BYTE_COUNTS, STRIP_BYTE_COUNTS]),
            None => ("strip", [STRIP_OFFSETS; 2], [STRIP_BYTE_COUNTS; 2]),
        };
        let (image_width, image_height) = (u64::from(layout.width), u64::from(layout.height));
        let width = tile_width.unwrap_or(image_width);
        let height = match tile_width {
            Some(_) => directory.value(TILE_HEIGHT)?.unwrap_or(0),
            None => directory.value(ROWS_PER_STRIP)?.unwrap_or(image_height).min(image_height),
        };
        if width == 0 || height == 0 {
            return Err(corrupt(format!("the TIFF's {name}s have a side of zero pixels")));
        }
        let (n_across, n_down) = (image_width.div_ceil(width), image_height.div_ceil(height));
        let padded = n_across.saturating_mul(width).saturating_mul(image_height);
        if padded > 2 * image_width * image_height + MAX_PADDING {
            return Err(unsupported::padding(width, height));
        }
        let n_planes = if layout.planar { layout.n_channels as u64 } else { 1 };
        let n_chunks = n_across.saturating_mul(n_down).saturating_mul(n_planes);
        if n_chunks > MAX_CHUNKS {
            return Err(unsupported::n_chunks(n_chunks, name));
        }
        let channels = if layout.planar { 1 } else { layout.n_channels };
        let chunks = Self {
            bytes: directory.bytes(),
            offsets: either(directory, offsets, name, "Offsets")?,
            lengths: either(directory, lengths, name, "ByteCounts")?,
            name,
            width: width as usize,
            height: height.min(image_height) as usize,
            n_across: n_across as usize,
            n_down: n_down as usize,
            row_bytes: (width as usize * channels * usize::from(layout.bits)).div_ceil(8),
            image_height: image_height as usize,
            stored: layout.compression == Compression::Stored,
        };
        chunks.check(n_chunks as usize, layout.compression)?;
        Ok(chunks)
    }

    /// Image rows in this chunk. Padding below the image is not decoded.
    pub(super) fn rows(&self, chunk: usize) -> usize {
        let down = chunk / self.n_across % self.n_down;
        self.height.min(self.image_height - down * self.height)
    }

    /// The chunk at the same position in another plane.
    pub(super) const fn in_plane(&self, chunk: usize, plane: usize) -> usize {
        plane * self.n_across * self.n_down + chunk
    }

    /// The compressed bytes of a chunk.
    pub(super) fn bytes(&self, chunk: usize) -> Result<&'a [u8], Rejection> {
        let (at, end) = self.place(chunk)?;
        Ok(&self.bytes[at..end])
    }

    pub(super) fn too_short(&self, chunk: usize) -> Rejection {
        corrupt(format!("{} {} of the TIFF holds fewer pixels than its rows need", self.name, chunk + 1))
    }

    pub(super) fn damaged(&self, chunk: usize) -> Rejection {
        corrupt(format!("the compressed data of {} {} of the TIFF are damaged", self.name, chunk + 1))
    }

    fn needed_bytes(&self, chunk: usize) -> usize {
        self.rows(chunk) * self.row_bytes
    }

    /// Start and end of a chunk in the file.
    fn place(&self, chunk: usize) -> Result<(usize, usize), Rejection> {
        let (Some(at), Some(length)) = (self.offsets.get(chunk), self.lengths.get(chunk)) else {
            return Err(corrupt(format!(
                "the TIFF's directory has no offset or length for {} {}",
                self.name,
                chunk + 1
            )));
        };
        let length = if self.stored { length.min(self.needed_bytes(chunk) as u64) } else { length };
        let end = at.checked_add(length).and_then(|end| usize::try_from(end).ok());
        match end {
            Some(end) if end <= self.bytes.len() => Ok((at as usize, end)),
            _ => Err(truncated("TIFF")),
        }
    }

    /// Checks that chunks lie inside the file, are long enough for their pixels and do not overlap. This
    /// bounds the work by the file's length.
    fn check(&self, n_chunks: usize, compression: Compression) -> Result<(), Rejection> {
        let (mut before, mut ascending) = (0, true);
        for chunk in 0..n_chunks {
            let (at, end) = self.place(chunk)?;
            if ((end - at) as u64).saturating_mul(largest_expansion(compression))
                < self.needed_bytes(chunk) as u64
            {
                return Err(self.too_short(chunk));
            }
            ascending &= at >= before;
            before = end;
        }
        if ascending {
            return Ok(());
        }
        let mut order: Vec<u32> = (0..n_chunks as u32).collect();
        order.sort_unstable_by_key(|chunk| self.offsets.get(*chunk as usize));
        for pair in order.windows(2) {
            let (first, second) = (pair[0] as usize, pair[1] as usize);
            if self.place(first)?.1 > self.place(second)?.0 {
                let (name, first, second) = (self.name, first + 1, second + 1);
                return Err(corrupt(format!("{name}s {first} and {second} of the TIFF overlap")));
            }
        }
        Ok(())
    }
}

fn either<'a>(
    directory: &Directory<'a>,
    tags: [u16; 2],
    chunk: &str,
    what: &str,
) -> Result<Values<'a>, Rejection> {
    for tag in tags {
        if let Some(values) = directory.values(tag)? {
            return Ok(values);
        }
    }
    Err(corrupt(format!("the TIFF has no {chunk} {what} (tag {})", tags[0])))
}

/// Most decoded bytes per compressed byte: 258 from two bits of Deflate, 3,839 from 12 bits of LZW, 128 from
/// two bytes of PackBits.
const fn largest_expansion(compression: Compression) -> u64 {
    match compression {
        Compression::Stored => 1,
        Compression::Lzw => 2560,
        Compression::Deflate => 1032,
        Compression::PackBits => 64,
    }
}
