//! Files made to cost time: the work is bounded by the file and its pixels, and stops soon after
//! cancellation.

use crate::writer::{
    DEFLATE, LZW, PACK_BITS, Picture, STORED, Spec, append_directory, assemble, header, tags, write,
};
use crate::{assert_rejected, small};
use cxr::RejectReason::{Corrupt, UnsupportedPixelFormat};
use cxr::{Cancel, DecodeError, DecodeLimits, Workspace, decode_with};
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Bytes of work between two polls for cancellation.
const POLL_BYTES: u64 = 64 << 10;

/// A file of one strip, `width` x `height` of 8 bits, with these compressed bytes.
fn strip(width: usize, height: usize, compression: u64, bytes: Vec<u8>) -> Vec<u8> {
    let picture = Picture { width, height, channels: 1, bits: 8, samples: Vec::new() };
    let spec = Spec { compression, ..Spec::default() };
    assemble(&[bytes], tags(&picture, &spec), &spec)
}

/// Packs bits from the lowest (Deflate) or the highest (LZW) of each byte.
struct Bits {
    bytes: Vec<u8>,
    length: usize,
    highest_first: bool,
}

impl Bits {
    fn new(begin: &[u8], highest_first: bool) -> Self {
        Self { bytes: begin.to_vec(), length: begin.len() * 8, highest_first }
    }

    fn put(&mut self, value: u32, n: usize) {
        for bit in 0..n {
            self.bytes.resize(self.length / 8 + 1, 0);
            let (from, to) =
                if self.highest_first { (n - 1 - bit, 7 - self.length % 8) } else { (bit, self.length % 8) };
            self.bytes[self.length / 8] |= ((value >> from & 1) as u8) << to;
            self.length += 1;
        }
    }
}

/// Deflate blocks with fixed codes that hold only their end.
fn empty_blocks(n_bytes: usize) -> Vec<u8> {
    let mut bits = Bits::new(&[0x78, 0x01], false);
    while bits.bytes.len() < n_bytes {
        bits.put(0b010, 10);
    }
    bits.bytes
}

/// Deflate blocks with their own codes that hold only their end.
fn empty_dynamic_blocks(bits: &mut Bits, n_bytes: usize) {
    let until = bits.bytes.len() + n_bytes;
    while bits.bytes.len() < until {
        // Not final; dynamic; 257 literals and lengths, 1 distance, 18 code lengths, of which 18 and 1 have
        // one bit.
        bits.put(0b100, 3);
        bits.put(0, 5);
        bits.put(0, 5);
        bits.put(14, 4);
        for code in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
            bits.put(u32::from(matches!(code, 18 | 1)), 3);
        }
        // 138 and 118 zeros, a one-bit code for the end, another for distance 0; the end.
        for (zeros, n) in [(127, 7), (107, 7)] {
            bits.put(1, 1);
            bits.put(zeros, n);
        }
        bits.put(0, 2);
        bits.put(0, 1);
    }
}

fn codes(n_bytes: usize, of: &[u32]) -> Vec<u8> {
    let mut bits = Bits::new(&[], true);
    bits.put(256, 9);
    while bits.bytes.len() < n_bytes {
        for code in of {
            bits.put(*code, 9);
        }
    }
    bits.bytes
}

/// Result of one decoding: number of polls, longest processor time between two of them, and total, in
/// seconds.
struct Cost {
    outcome: Result<(), DecodeError>,
    polls: u64,
    longest_pause: f64,
    seconds: f64,
}

/// Decodes and cancels at the given poll.
fn cost(file: &[u8], limits: &DecodeLimits, stop_at: Option<u64>) -> Cost {
    let (polls, longest, last) = (Cell::new(0), Cell::new(0.0f64), RefCell::new(now()));
    let asked = || {
        let pause = now() - last.replace(now());
        longest.set(longest.get().max(pause));
        polls.set(polls.get() + 1);
        stop_at == Some(polls.get())
    };
    let begun = now();
    let outcome = decode_with(&mut Workspace::default(), file, limits, Cancel::when(&asked)).map(drop);
    Cost { outcome, polls: polls.get(), longest_pause: longest.get(), seconds: now() - begun }
}

fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Zeros for all pixels but the last, in few bytes; empty blocks with their own codes; the last pixel.
fn slow_deflate(n_pixels: usize, n_bytes: usize) -> Vec<u8> {
    let mut zeros = flate2::Compress::new(flate2::Compression::best(), true);
    let mut begin = Vec::with_capacity(n_pixels / 500 + 1024);
    zeros.compress_vec(&vec![0; n_pixels - 1], &mut begin, flate2::FlushCompress::Sync).unwrap();
    let mut bits = Bits::new(&begin, false);
    empty_dynamic_blocks(&mut bits, n_bytes);
    // The final block, with fixed codes: a zero, the end.
    bits.put(0b011, 3);
    bits.put(0b0000_1100, 8);
    bits.put(0, 7);
    // Adler-32 of zeros.
    let sums = (n_pixels % 65521) << 16 | 1;
    [bits.bytes, (sums as u32).to_be_bytes().to_vec()].concat()
}

fn side(n_bytes: usize) -> usize {
    (n_bytes as f64).sqrt().ceil() as usize
}

/// Valid files of about `n_bytes` that take long for their length.
fn slow(n_bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let side = side(n_bytes);
    let n_pixels = side * side;
    let rows = |height: usize, compression| {
        let picture = Picture { samples: vec![7; height], width: 1, height, channels: 1, bits: 8 };
        write(&picture, &Spec { compression, rows_per_strip: 1, ..Spec::default() })
    };
    let noise = |channels, bits, spec: Spec| {
        let side = crate::hostile::side(n_bytes / channels / usize::from(bits) * 8);
        write(&Picture::new(side, side, channels, bits), &spec)
    };
    let transparent =
        Spec { photometric: 2, planar: true, tags: BTreeMap::from([(338, vec![2])]), ..Spec::default() };
    vec![
        ("empty dynamic Deflate blocks", strip(side, side, DEFLATE, slow_deflate(n_pixels, n_bytes))),
        ("LZW table cleared for every two bytes", strip(side, side / 2, LZW, codes(n_bytes, &[0, 0, 256]))),
        ("PackBits runs of one byte", strip(side, side / 2, PACK_BITS, vec![0; n_pixels])),
        ("strips of one pixel, stored", rows(n_bytes.min(1 << 21) / 9, STORED)),
        ("strips of one pixel, LZW", rows(n_bytes.min(1 << 21) / 12, LZW)),
        ("strips of one pixel, Deflate", rows(n_bytes.min(1 << 21) / 17, DEFLATE)),
        ("noise in LZW", noise(1, 8, Spec { compression: LZW, ..Spec::default() })),
        ("noise in Deflate", noise(1, 8, Spec { compression: DEFLATE, ..Spec::default() })),
        ("noise of 1 bit", noise(1, 1, Spec::default())),
        ("noise of 4 x 16 bits, planes, Deflate", noise(4, 16, Spec { compression: DEFLATE, ..transparent })),
    ]
}

/// The largest image within the limits, four 16-bit channels with transparency, in few bytes.
fn blank_and_largest(compression: u64) -> Vec<u8> {
    let side = (limits().max_pixels as f64).sqrt() as usize;
    let picture = Picture { width: side, height: side, channels: 4, bits: 16, samples: Vec::new() };
    let tags_of_alpha = BTreeMap::from([(338, vec![2])]);
    let spec = Spec { compression, photometric: 2, planar: true, tags: tags_of_alpha, ..Spec::default() };
    let plane = crate::writer::compress(&vec![0; 2 * side * side], &picture, &spec);
    assemble(&vec![plane; 4], tags(&picture, &spec), &spec)
}

/// Files of about `n_bytes` that would take long and are rejected.
fn bombs(n_bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let side = side(n_bytes);
    let mut dynamic = Bits::new(&[0x78, 0x01], false);
    empty_dynamic_blocks(&mut dynamic, n_bytes);
    vec![
        ("LZW clears", strip(side, side, LZW, codes(n_bytes, &[256]))),
        ("LZW clears for every byte", strip(side, side, LZW, codes(n_bytes, &[0, 256]))),
        ("PackBits that gives nothing", strip(side, side, PACK_BITS, vec![128; n_bytes])),
        ("empty Deflate blocks", strip(side, side, DEFLATE, empty_blocks(n_bytes))),
        ("empty dynamic Deflate blocks", strip(side, side, DEFLATE, dynamic.bytes)),
    ]
}

fn limits() -> DecodeLimits {
    DecodeLimits::default()
}

/// Checks the work against the file's length and the image's pixels.
fn assert_allowed(name: &str, file: &[u8], n_pixels: u64) {
    let cost = cost(file, &limits(), None);
    let megabytes = file.len() as f64 / 1e6;
    println!(
        "{name}: {megabytes:.2} MB, {:.3} s, {:.3} s/MB, asked {} times, at most {:.2} ms apart",
        cost.seconds,
        cost.seconds / megabytes,
        cost.polls,
        cost.longest_pause * 1e3
    );
    assert_eq!(cost.outcome, Ok(()), "{name}");
    // At most a new strip per seven bytes, and per pixel four channels of two bytes.
    let allowed = 160 * file.len() as u64 + 16 * n_pixels + (1 << 20);
    assert!(cost.polls * POLL_BYTES < allowed, "{name}: {}", cost.polls);
    assert!(cost.longest_pause < 0.05, "{name}: {} s between two polls", cost.longest_pause);
}

#[test]
fn slow_files_stay_within_their_allowance() {
    for (name, file) in slow(4 << 20) {
        assert_allowed(name, &file, 4 << 20);
    }
    for (name, compression) in [("largest image, Deflate", DEFLATE), ("largest image, LZW", LZW)] {
        assert_allowed(name, &blank_and_largest(compression), limits().max_pixels);
    }
}

#[test]
fn bombs_are_refused_after_little_work() {
    for (name, file) in bombs(4 << 20) {
        let cost = cost(&file, &limits(), None);
        let Err(DecodeError::Rejected(rejection)) = cost.outcome else {
            panic!("{name}: {:?}", cost.outcome)
        };
        assert!(rejection.reason == Corrupt && rejection.found.contains("strip 1"), "{name}: {rejection:?}");
        println!("{name}: {:.3} s, asked {} times", cost.seconds, cost.polls);
        assert!(cost.polls <= 64, "{name}: {}", cost.polls);
    }
}

#[test]
fn decoding_stops_when_it_is_asked_to() {
    for (name, file) in slow(4 << 20) {
        let whole = cost(&file, &limits(), None).polls;
        for stop_at in [1, 2, whole / 2, whole - 1] {
            let stopped = cost(&file, &limits(), Some(stop_at));
            assert!(
                matches!(stopped.outcome, Err(DecodeError::Cancelled(_))),
                "{name}, {stop_at} of {whole}"
            );
            assert_eq!(stopped.polls, stop_at, "{name}");
        }
    }
}

#[test]
fn places_that_multiply_work_are_refused() {
    // Tiles far wider than the image: a few bytes that expand to gigabytes.
    let (picture, spec) = small();
    for (width, height) in [(1 << 26, 16), (1 << 31, 1 << 31), (1 << 22, 32)] {
        let tags = BTreeMap::from([(322, vec![width]), (323, vec![height])]);
        let file = write(&picture, &Spec { compression: PACK_BITS, tags, ..spec.clone() });
        assert_rejected(&file, UnsupportedPixelFormat, "much larger than its image");
    }
    // A tile that is much taller than the image is decoded only as far as the image extends.
    let tall = Spec { tile: Some([48, 48]), compression: LZW, ..spec.clone() };
    let tall = Spec { tags: BTreeMap::from([(323, vec![1 << 31])]), ..tall };
    crate::assert_same(&write(&picture, &tall), &picture, &"a tall tile");
    // A thousand strips in the same bytes.
    let shared = Picture { height: 1000, ..Picture::new(1000, 1, 1, 8) };
    let spec = Spec { compression: PACK_BITS, rows_per_strip: 1, ..Spec::default() };
    let mut tags = tags(&shared, &spec);
    tags.extend([(273, vec![8; 1000]), (279, vec![1 << 20; 1000])]);
    let mut file = header(&spec);
    file.resize(8 + (1 << 20), 0);
    append_directory(&mut file, &tags, &spec);
    assert_rejected(&file, Corrupt, "overlap");
    // More chunks than any image needs.
    let rows = Picture { width: 1, height: 300_000, channels: 1, bits: 8, samples: vec![0; 300_000] };
    let file = write(&rows, &Spec { rows_per_strip: 1, ..Spec::default() });
    assert_rejected(&file, UnsupportedPixelFormat, "a TIFF with 300000 strips");
}

#[test]
fn a_size_that_the_file_cannot_fill_is_refused_before_memory_is_taken() {
    for compression in [STORED, LZW, DEFLATE, PACK_BITS] {
        let file = strip(6000, 6000, compression, vec![0; 5000]);
        let cost = cost(&file, &limits(), None);
        assert!(
            matches!(&cost.outcome, Err(DecodeError::Rejected(rejection)) if rejection.reason == Corrupt)
        );
        assert_eq!(cost.polls, 1, "it is rejected by its directory");
    }
}
