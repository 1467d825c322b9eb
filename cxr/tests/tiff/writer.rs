//! A small TIFF writer that can also write invalid files.

use flate2::{Compression as Level, write::ZlibEncoder};
use std::collections::BTreeMap;
use std::io::Write;

pub(crate) const STORED: u64 = 1;
pub(crate) const LZW: u64 = 5;
pub(crate) const DEFLATE: u64 = 8;
pub(crate) const OLD_DEFLATE: u64 = 32946;
pub(crate) const PACK_BITS: u64 = 32773;

/// Samples with interleaved channels.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
    pub(crate) bits: u8,
    pub(crate) samples: Vec<u16>,
}

/// Storage of a picture. `tags` overrides the tags that it sets.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of the format")]
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) compression: u64,
    pub(crate) differences: bool,
    /// Width and height.
    pub(crate) tile: Option<[usize; 2]>,
    pub(crate) rows_per_strip: usize,
    pub(crate) planar: bool,
    pub(crate) reversed_bits: bool,
    pub(crate) big_endian: bool,
    pub(crate) big: bool,
    pub(crate) photometric: u64,
    pub(crate) tags: BTreeMap<u16, Vec<u64>>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            compression: STORED,
            differences: false,
            tile: None,
            rows_per_strip: usize::MAX,
            planar: false,
            reversed_bits: false,
            big_endian: false,
            big: false,
            photometric: 1,
            tags: BTreeMap::new(),
        }
    }
}

impl Picture {
    /// A picture with edges, slopes and noise that uses every bit.
    pub(crate) fn new(width: usize, height: usize, channels: usize, bits: u8) -> Self {
        let (mut state, mask) = (0x2545_F491u32, ((1u32 << bits) - 1) as u16);
        let sample = |index: usize| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let (x, y) = (index / channels % width, index / channels / width);
            let slope = (x * 7 + y * 3 + index % channels * 50) << bits.saturating_sub(8);
            let noise = if y % 5 == 0 { state } else { state & 3 };
            (if x / 9 % 4 == 1 { 5 } else { (slope as u32).wrapping_add(noise) }) as u16 & mask
        };
        Self { width, height, channels, bits, samples: (0..width * height * channels).map(sample).collect() }
    }
}

/// A complete file with one directory.
pub(crate) fn write(picture: &Picture, spec: &Spec) -> Vec<u8> {
    let chunks =
        chunks(picture, spec).into_iter().map(|bytes| compress(&bytes, picture, spec)).collect::<Vec<_>>();
    assemble(&chunks, tags(picture, spec), spec)
}

/// Tags of a picture, without the chunk offsets.
pub(crate) fn tags(picture: &Picture, spec: &Spec) -> BTreeMap<u16, Vec<u64>> {
    let mut tags = BTreeMap::from([
        (256, vec![picture.width as u64]),
        (257, vec![picture.height as u64]),
        (258, vec![picture.bits.into(); picture.channels]),
        (259, vec![spec.compression]),
        (262, vec![spec.photometric]),
        (266, vec![if spec.reversed_bits { 2 } else { 1 }]),
        (277, vec![picture.channels as u64]),
        (284, vec![if spec.planar { 2 } else { 1 }]),
    ]);
    match spec.tile {
        Some([width, height]) => tags.extend([(322, vec![width as u64]), (323, vec![height as u64])]),
        None => tags.extend([(278, vec![spec.rows_per_strip.min(picture.height) as u64])]),
    }
    if spec.differences {
        tags.insert(317, vec![2]);
    }
    tags.extend(spec.tags.clone());
    tags
}

/// A file of these chunks: header, chunks, directory.
pub(crate) fn assemble(chunks: &[Vec<u8>], mut tags: BTreeMap<u16, Vec<u64>>, spec: &Spec) -> Vec<u8> {
    let mut file = header(spec);
    let mut offsets = Vec::new();
    for chunk in chunks {
        offsets.push(file.len() as u64);
        file.extend(chunk);
        file.resize(file.len().next_multiple_of(2), 0);
    }
    let (places, lengths) = if tags.contains_key(&322) { (324, 325) } else { (273, 279) };
    tags.entry(places).or_insert(offsets);
    tags.entry(lengths).or_insert_with(|| chunks.iter().map(|chunk| chunk.len() as u64).collect());
    append_directory(&mut file, &tags, spec);
    file
}

pub(crate) fn header(spec: &Spec) -> Vec<u8> {
    let mut file = if spec.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
    put(&mut file, if spec.big { 43 } else { 42 }, 2, spec);
    if spec.big {
        put(&mut file, 8, 2, spec);
        put(&mut file, 0, 2, spec);
    }
    let size = if spec.big { 8 } else { 4 };
    put(&mut file, 0, size, spec);
    file
}

/// Appends a directory and links it behind the last one.
pub(crate) fn append_directory(file: &mut Vec<u8>, tags: &BTreeMap<u16, Vec<u64>>, spec: &Spec) {
    let size = if spec.big { 8 } else { 4 };
    let mut entries = Vec::new();
    for (tag, values) in tags {
        let kind = if spec.big { 16 } else { 4 };
        put(&mut entries, (*tag).into(), 2, spec);
        put(&mut entries, kind, 2, spec);
        put(&mut entries, values.len() as u64, size, spec);
        if let [value] = values[..] {
            put(&mut entries, value, size, spec);
        } else {
            put(&mut entries, file.len() as u64, size, spec);
            for value in values {
                put(file, *value, size, spec);
            }
        }
    }
    let at = file.len() as u64;
    link(file, at, spec);
    put(file, tags.len() as u64, if spec.big { 8 } else { 2 }, spec);
    file.extend(entries);
    put(file, 0, size, spec);
}

/// Sets the next-directory link of the last directory, or of the header.
pub(crate) fn link(file: &mut [u8], to: u64, spec: &Spec) {
    let size = if spec.big { 8 } else { 4 };
    let number = |file: &[u8], at: usize, n: usize| {
        let bytes = &file[at..at + n];
        let append = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        if spec.big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
    };
    let mut at = if spec.big { 8 } else { 4 };
    loop {
        let next = number(file, at, size) as usize;
        if next == 0 {
            break;
        }
        let (count_size, entry_size) = if spec.big { (8, 20) } else { (2, 12) };
        at = next + count_size + entry_size * number(file, next, count_size) as usize;
    }
    let mut bytes = Vec::new();
    put(&mut bytes, to, size, spec);
    file[at..at + size].copy_from_slice(&bytes);
}

fn put(to: &mut Vec<u8>, value: u64, size: usize, spec: &Spec) {
    if spec.big_endian {
        to.extend(&value.to_be_bytes()[8 - size..]);
    } else {
        to.extend(&value.to_le_bytes()[..size]);
    }
}

/// Bytes of every chunk before compression.
pub(crate) fn chunks(picture: &Picture, spec: &Spec) -> Vec<Vec<u8>> {
    let [width, height] = spec.tile.unwrap_or([picture.width, spec.rows_per_strip.min(picture.height)]);
    let planes = if spec.planar { picture.channels } else { 1 };
    let mut chunks = Vec::new();
    for plane in 0..planes {
        let channels = if spec.planar { plane..plane + 1 } else { 0..picture.channels };
        for top in (0..picture.height).step_by(height) {
            for left in (0..picture.width).step_by(width) {
                let bottom =
                    if spec.tile.is_some() { top + height } else { (top + height).min(picture.height) };
                let rows =
                    (top..bottom).flat_map(|y| row(picture, spec, y, left..left + width, channels.clone()));
                chunks.push(rows.collect());
            }
        }
    }
    chunks
}

fn row(
    picture: &Picture,
    spec: &Spec,
    y: usize,
    columns: std::ops::Range<usize>,
    channels: std::ops::Range<usize>,
) -> Vec<u8> {
    let sample = |x: usize, channel: usize| {
        let at = (y * picture.width + x) * picture.channels + channel;
        if x < picture.width && y < picture.height { picture.samples[at] } else { 0x5A5A }
    };
    let begin = columns.start;
    let stored =
        columns.flat_map(|x| channels.clone().map(move |channel| (x, channel))).map(|(x, channel)| {
            let before = if spec.differences && x > begin { sample(x - 1, channel) } else { 0 };
            sample(x, channel).wrapping_sub(before)
        });
    if picture.bits == 16 {
        return stored
            .flat_map(|value| if spec.big_endian { value.to_be_bytes() } else { value.to_le_bytes() })
            .collect();
    }
    let (mut bytes, mut held, mut n_held) = (Vec::new(), 0u32, 0);
    for value in stored {
        held = held << picture.bits | u32::from(value) & ((1 << picture.bits) - 1);
        n_held += picture.bits;
        while n_held >= 8 {
            n_held -= 8;
            bytes.push((held >> n_held) as u8);
        }
    }
    if n_held > 0 {
        bytes.push((held << (8 - n_held)) as u8);
    }
    bytes
}

pub(crate) fn compress(bytes: &[u8], picture: &Picture, spec: &Spec) -> Vec<u8> {
    let compressed = match spec.compression {
        LZW => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(bytes).unwrap(),
        DEFLATE | OLD_DEFLATE => deflate(bytes),
        PACK_BITS => bytes.chunks(picture.width).flat_map(pack_bits).collect(),
        _ => bytes.to_vec(),
    };
    if spec.reversed_bits { compressed.iter().map(|byte| byte.reverse_bits()).collect() } else { compressed }
}

pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Level::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn pack_bits(row: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut left = row;
    while let Some(first) = left.first() {
        let run = left.iter().take(128).take_while(|byte| *byte == first).count();
        if run > 1 {
            packed.extend([(257 - run) as u8, *first]);
            left = &left[run..];
        } else {
            let literals = left.windows(2).take(127).take_while(|pair| pair[0] != pair[1]).count().max(1);
            packed.push(literals as u8 - 1);
            packed.extend(&left[..literals]);
            left = &left[literals..];
        }
    }
    packed
}
