//! Parses a JPEG's markers (T.81 annex B) before any coefficient is decoded.
//!
//! Nothing is copied, and the memory used is bounded for any file.

use super::frame::{Frame, coding};
use crate::decode::{corrupt, truncated};
use crate::reject::Rejection;

/// More than any encoder writes: libjpeg's colour script has 10 (`jpeg_simple_progression` in jcparam.c).
pub(super) const MAX_SCANS: usize = 64;
/// Most table segments. libjpeg writes at most one for each component of a scan, and two at the start.
const MAX_TABLES: usize = 512;

/// Contents of the marker segments.
#[derive(Debug)]
pub(super) struct Headers<'a> {
    pub(super) frame: Frame,
    pub(super) scans: Vec<Scan<'a>>,
    /// Whether there is a JFIF segment: three components are then YCbCr.
    pub(super) jfif: bool,
    /// Transform flag of the Adobe segment.
    pub(super) adobe: Option<u8>,
    /// The first Exif block, from its TIFF header on.
    pub(super) exif: Option<&'a [u8]>,
}

/// One scan: its header, the tables before it and its compressed data.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) tables: Vec<Table<'a>>,
    pub(super) components: Vec<ScanComponent>,
    pub(super) bits: ScanBits,
    pub(super) data: &'a [u8],
}

/// A component of a scan: its index in the frame and its Huffman tables (DC in the high half, AC in the low).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScanComponent {
    pub(super) index: usize,
    pub(super) huffman: u8,
}

/// Spectral selection (first, last) and successive approximation (high, low) of a scan (T.81 G.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScanBits {
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) high: u8,
    pub(super) low: u8,
}

/// A segment that later scans depend on: quantisation tables, Huffman tables or the restart interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) marker: u8,
    pub(super) body: &'a [u8],
}

/// Marker of quantisation tables.
pub(super) const DQT: u8 = 0xDB;
/// Marker of Huffman tables.
pub(super) const DHT: u8 = 0xC4;
/// Marker of the restart interval.
const DRI: u8 = 0xDD;

impl<'a> Headers<'a> {
    /// Parses from the start of the file to its first end-of-image marker.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let mut walk = Walk { bytes, at: 2 };
        let (mut frame, mut scans, mut tables) = (None, Vec::new(), Vec::new());
        let (mut jfif, mut adobe, mut exif) = (false, None, None);
        let mut n_tables = 0;
        loop {
            match walk.marker()? {
                // No meaning here: fill bytes, temporary use, restart markers behind their scan.
                0x01 | 0xD0..=0xD7 => {}
                0xD9 => break,
                marker @ (DQT | DHT | DRI) => {
                    n_tables += 1;
                    if n_tables > MAX_TABLES {
                        return Err(corrupt("the JPEG has more tables than its scans can use"));
                    }
                    tables.push(Table { marker, body: walk.body()? });
                }
                0xDA => {
                    let frame = frame
                        .as_ref()
                        .ok_or_else(|| corrupt("the JPEG has a scan before its frame header"))?;
                    if scans.len() == MAX_SCANS {
                        return Err(corrupt(format!("the JPEG has more than {MAX_SCANS} scans")));
                    }
                    let (components, bits) = scan_header(frame, walk.body()?)?;
                    scans.push(Scan {
                        tables: std::mem::take(&mut tables),
                        components,
                        bits,
                        data: walk.data()?,
                    });
                }
                marker @ (0xC0..=0xC2) => {
                    if frame.is_some() {
                        return Err(corrupt("the JPEG has two frame headers"));
                    }
                    frame = Some(Frame::read(marker, walk.body()?)?);
                }
                marker @ (0xC3 | 0xC5..=0xC7 | 0xC9..=0xCF | 0xDE | 0xDF | 0xF7) => {
                    return Err(coding(marker));
                }
                0xE0 => jfif |= walk.body()?.starts_with(b"JFIF\0"),
                0xE1 => exif = exif.or(walk.body()?.strip_prefix(b"Exif\0\0")),
                0xEE => {
                    let body = walk.body()?;
                    let flag = body.get(11).copied().filter(|_| body.starts_with(b"Adobe"));
                    adobe = adobe.or(flag);
                }
                0xD8 => return Err(corrupt("a second JPEG begins before the first ends")),
                _ => drop(walk.body()?),
            }
        }
        let frame = frame.ok_or_else(|| corrupt("the JPEG has no frame header"))?;
        Ok(Self { frame, scans, jfif, adobe, exif })
    }
}

fn scan_header(frame: &Frame, body: &[u8]) -> Result<(Vec<ScanComponent>, ScanBits), Rejection> {
    let wrong = || corrupt("a scan header of the JPEG contradicts its frame header");
    let (&n, rest) = body.split_first().ok_or_else(wrong)?;
    let (rest, &[first, last, bits]) = rest.split_last_chunk().ok_or_else(wrong)?;
    let (entries, []) = rest.as_chunks::<2>() else { return Err(wrong()) };
    if entries.is_empty() || entries.len() != usize::from(n) {
        return Err(wrong());
    }
    let mut components: Vec<ScanComponent> = Vec::with_capacity(entries.len());
    for &[id, huffman] in entries {
        let index = frame.components.iter().position(|component| component.id == id).ok_or_else(wrong)?;
        // Components are in the order of the frame (T.81 B.2.3).
        if components.last().is_some_and(|before| before.index >= index) || huffman & 0xCC != 0 {
            return Err(wrong());
        }
        components.push(ScanComponent { index, huffman });
    }
    Ok((components, ScanBits { first, last, high: bits >> 4, low: bits & 15 }))
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// Next marker. Bytes between segments are skipped, as other readers do.
    fn marker(&mut self) -> Result<u8, Rejection> {
        loop {
            let rest = self.bytes.get(self.at..).ok_or_else(|| truncated("JPEG"))?;
            let skipped = memchr::memchr(0xFF, rest).ok_or_else(|| truncated("JPEG"))?;
            self.at += skipped + 1;
            match self.bytes.get(self.at) {
                None => return Err(truncated("JPEG")),
                Some(0xFF) => {}
                Some(0) => self.at += 1,
                Some(&marker) => {
                    self.at += 1;
                    return Ok(marker);
                }
            }
        }
    }

    /// Body of the segment whose marker was just read.
    fn body(&mut self) -> Result<&'a [u8], Rejection> {
        let rest = self.bytes.get(self.at..).ok_or_else(|| truncated("JPEG"))?;
        let (&length, rest) = rest.split_first_chunk().ok_or_else(|| truncated("JPEG"))?;
        let length = usize::from(u16::from_be_bytes(length))
            .checked_sub(2)
            .ok_or_else(|| corrupt("a segment of the JPEG has a length below 2"))?;
        let body = rest.get(..length).ok_or_else(|| truncated("JPEG"))?;
        self.at += 2 + length;
        Ok(body)
    }

    /// Compressed data up to the next marker that is neither a stuffed byte nor a restart marker.
    fn data(&mut self) -> Result<&'a [u8], Rejection> {
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..).ok_or_else(|| truncated("JPEG"))?;
            self.at += memchr::memchr(0xFF, rest).ok_or_else(|| truncated("JPEG"))?;
            match self.bytes.get(self.at + 1) {
                None => return Err(truncated("JPEG")),
                Some(0 | 0xD0..=0xD7) => self.at += 2,
                // Fill byte before a marker.
                Some(0xFF) => self.at += 1,
                Some(1..=0xBF) => {
                    return Err(corrupt("the JPEG's compressed data contain an invalid marker"));
                }
                Some(_) => return Ok(&self.bytes[start..self.at]),
            }
        }
    }
}
