//! The slowest files within the limits, generated: decoding time per megabyte, and time between two polls for
//! cancellation.
//!
//! `cargo run --release -p cxr --example slowest`; processor time of one thread. docs/DECODE.md has the
//! results.

#![expect(clippy::print_stdout, reason = "a program that reports on its standard output")]

#[path = "../tests/jpeg/coefficients.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod coefficients;

use coefficients::{Block, Layout, Picture, Scan, ZIGZAG};
use cxr::{Cancel, DecodeLimits, Workspace, decode_with};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;

/// Just below the limit of 40 megapixels.
const WIDTH: usize = 7000;
const HEIGHT: usize = 5712;

type Made = Result<Vec<u8>, Box<dyn std::error::Error>>;
type Kind = (&'static str, fn() -> Made);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kinds: [Kind; 10] = [
        ("JPEG, baseline, flat", || Ok(flat(1, 1).write(&Layout::plain(0xC0, 1)))),
        ("JPEG, baseline, noise", || Ok(noise().write(&Layout::plain(0xC0, 1)))),
        ("JPEG, 20 passes, flat", || Ok(flat(1, 1).write(&progressive(&passes(1))))),
        ("JPEG, 20 passes, noise", || Ok(noise().write(&progressive(&passes(1))))),
        ("JPEG, 20 passes, flat, 4:4:4", || Ok(flat(3, 1).write(&progressive(&passes(3))))),
        ("JPEG, 20 passes, flat, 4:4:0", || Ok(flat(3, 2).write(&progressive(&passes(3))))),
        ("PNG, grey, 8 bits", || png(png::ColorType::Grayscale, png::BitDepth::Eight)),
        ("PNG, grey, 16 bits", || png(png::ColorType::Grayscale, png::BitDepth::Sixteen)),
        ("PNG, RGBA, 16 bits", || png(png::ColorType::Rgba, png::BitDepth::Sixteen)),
        ("PNG, 1 MB of empty Deflate blocks", || Ok(empty_blocks(1 << 20))),
    ];
    println!("{:<36}{:>9}{:>9}{:>9}{:>14}", "file", "MB", "s", "s/MB", "ms unasked");
    for (name, make) in kinds {
        report(name, &make()?);
    }
    Ok(())
}

fn report(name: &str, file: &[u8]) {
    let (last, longest) = (Cell::new(now()), Cell::new(0.0_f64));
    let asked = || {
        longest.set(longest.get().max(now() - last.get()));
        last.set(now());
        false
    };
    let begun = now();
    let decoded =
        decode_with(&mut Workspace::default(), file, &DecodeLimits::default(), Cancel::when(&asked));
    asked();
    let (seconds, megabytes) = ((now() - begun) / 1e3, file.len() as f64 / 1e6);
    let longest = longest.get();
    println!("{name:<36}{megabytes:>9.3}{seconds:>9.3}{:>9.2}{longest:>14.1}", seconds / megabytes);
    if let Err(error) = decoded {
        println!("    {error}");
    }
}

/// Processor time of this thread in milliseconds.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// A single grey level.
fn flat(n_components: u8, luma_rows: usize) -> Picture {
    let components: Vec<_> =
        (1..=n_components).map(|id| (id, 1, if id == 1 { luma_rows } else { 1 })).collect();
    Picture::new(WIDTH, HEIGHT, 1, &components, |_, _, _| [0; 64])
}

/// As many coefficients with as many bits as 32 MB hold.
fn noise() -> Picture {
    let mut state = 1_u32;
    Picture::new(WIDTH, HEIGHT, 1, &[(1, 1, 1)], |_, _, _| {
        let mut block: Block = [0; 64];
        for &at in &ZIGZAG[..24] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            block[at] = (state >> 29) as i16 - 3;
        }
        block
    })
}

fn progressive(scans: &[Scan]) -> Layout {
    Layout { scans: scans.to_vec(), ..Layout::plain(0xC2, 1) }
}

/// Twenty passes over the first component.
fn passes(n_components: usize) -> Vec<Scan> {
    let all: Vec<usize> = (0..n_components).collect();
    let mut scans = vec![Scan::bits(&all, 0, 0, 0, 9), Scan::bits(&[0], 1, 63, 0, 9)];
    scans.extend(
        (0..9)
            .rev()
            .flat_map(|low| [Scan::bits(&all, 0, 0, low + 1, low), Scan::bits(&[0], 1, 63, low + 1, low)]),
    );
    scans
}

/// Zeros with the most expensive filter.
fn png(colour: png::ColorType, depth: png::BitDepth) -> Made {
    use std::io::Write;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_filter(png::Filter::Paeth);
    let row = vec![0; WIDTH * colour.samples() * if depth == png::BitDepth::Sixteen { 2 } else { 1 }];
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    for _ in 0..HEIGHT {
        stream.write_all(&row)?;
    }
    stream.finish()?;
    writer.finish()?;
    Ok(file)
}

/// A small PNG whose compressed data start with empty blocks that each define Huffman tables.
fn empty_blocks(n_bytes: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    while bits.bytes.len() < n_bytes {
        bits.empty_block();
    }
    // The image: stored blocks, the last one final.
    let raw = vec![0_u8; 129 * 128];
    bits.put(1, 1);
    bits.put(0, 2);
    bits.align();
    bits.bytes.extend((raw.len() as u16).to_le_bytes());
    bits.bytes.extend((!(raw.len() as u16)).to_le_bytes());
    bits.bytes.extend(&raw);
    let sum = raw.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    let mut data = vec![0x78, 0x01];
    data.extend(bits.bytes);
    data.extend((sum.1 << 16 | sum.0).to_be_bytes());
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    chunk(&mut file, *b"IHDR", &[0, 0, 0, 128, 0, 0, 0, 128, 8, 0, 0, 0, 0]);
    chunk(&mut file, *b"IDAT", &data);
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, name: [u8; 4], body: &[u8]) {
    file.extend((body.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(name);
    file.extend(body);
    let sum = file[start..].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 },
        )
    });
    file.extend((!sum).to_be_bytes());
}

/// Packs bits from the lowest up, as Deflate does (RFC 1951, 3.1.1).
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    n_held: u32,
}

impl Bits {
    fn put(&mut self, value: u32, n: u32) {
        self.held |= value << self.n_held;
        self.n_held += n;
        while self.n_held >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.n_held -= 8;
        }
    }

    fn align(&mut self) {
        if self.n_held > 0 {
            self.put(0, 8 - self.n_held);
        }
    }

    /// An empty dynamic block: a one-bit code for 0 and for the end of the block, one for distances.
    fn empty_block(&mut self) {
        self.put(0, 1);
        self.put(2, 2);
        self.put(0, 5);
        self.put(0, 5);
        // Lengths of the code-length codes in the order 16, 17, 18, 0, 8, 7, .., 1: of 18, 0 and 1.
        self.put(14, 4);
        for length in [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] {
            self.put(length, 3);
        }
        self.put(0b11, 2);
        for zeros in [138, 117] {
            self.put(0, 1);
            self.put(zeros - 11, 7);
        }
        self.put(0b11, 2);
        self.put(0b11, 2);
        self.put(1, 1);
    }
}
