//! Decoding stops soon after cancellation, for every kind of file, and leaves no trace.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "jpeg/coefficients.rs"]
#[expect(dead_code, reason = "the tests of JPEG use all of it")]
mod coefficients;

use coefficients::{Block, Layout, Picture, Scan};
use cxr::{Cancel, DecodeError, DecodeLimits, Workspace, decode, decode_with};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::io::Write;

const SIDE: usize = 2400;
/// Processor time that may pass after cancellation. The last step of a progressive file, from coefficients to
/// pixels, is not interrupted: it takes about 0.1 s for 40 megapixels (docs/DECODE.md), a seventh of that
/// here.
const SOON_MS: f64 = 60.0;

fn milliseconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn block(_: usize, x: usize, y: usize) -> Block {
    std::array::from_fn(|at| if at < 12 { ((x * 7 + y * 11 + at * 5) % 13) as i16 - 6 } else { 0 })
}

fn passes() -> Vec<Scan> {
    let mut scans = vec![Scan::bits(&[0], 0, 0, 0, 9), Scan::bits(&[0], 1, 63, 0, 9)];
    scans.extend(
        (0..9)
            .rev()
            .flat_map(|low| [Scan::bits(&[0], 0, 0, low + 1, low), Scan::bits(&[0], 1, 63, low + 1, low)]),
    );
    scans
}

fn png(colour: png::ColorType, depth: png::BitDepth, bytes_per_pixel: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE as u32, SIDE as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_filter(png::Filter::Paeth);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    for y in 0..SIDE {
        let row: Vec<u8> = (0..SIDE * bytes_per_pixel).map(|x| (x / 50 + y / 9) as u8).collect();
        stream.write_all(&row).unwrap();
    }
    stream.finish().unwrap();
    writer.finish().unwrap();
    file
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let grey = |block: fn(usize, usize, usize) -> Block| Picture::new(SIDE, SIDE, 1, &[(1, 1, 1)], block);
    let progressive = || Layout { scans: passes(), ..Layout::plain(0xC2, 1) };
    let colour = Picture::new(SIDE, SIDE, 1, &[(1, 2, 2), (2, 1, 1), (3, 1, 1)], block);
    let apart = Layout { scans: (0..3).map(|c| Scan::whole(&[c])).collect(), ..Layout::plain(0xC0, 3) };
    vec![
        ("baseline", grey(block).write(&Layout::plain(0xC0, 1))),
        ("a scan for each component", colour.write(&apart)),
        ("passes", grey(block).write(&progressive())),
        ("passes over nothing", grey(|_, _, _| [0; 64]).write(&progressive())),
        ("PNG", png(png::ColorType::Grayscale, png::BitDepth::Eight, 1)),
        ("PNG with colour, 16 bits", png(png::ColorType::Rgba, png::BitDepth::Sixteen, 8)),
    ]
}

#[test]
fn decoding_stops_soon_after_it_is_told_to() {
    let limits = DecodeLimits::default();
    for (name, file) in files() {
        let n_asked = Cell::new(0);
        let count = || {
            n_asked.set(n_asked.get() + 1);
            false
        };
        let whole = decode_with(&mut Workspace::default(), &file, &limits, Cancel::when(&count)).unwrap();
        let n_asked = n_asked.get();
        assert!(n_asked >= 3, "{name}: asked {n_asked} times");
        // Cancellation at the start, at the end, and at points between.
        for stop_at in (0..=6).map(|part| (n_asked - 1) * part / 6) {
            let (asked, told) = (Cell::new(0), Cell::new(None));
            let stop = || {
                let now = asked.replace(asked.get() + 1);
                if now == stop_at {
                    told.set(Some(milliseconds()));
                }
                now >= stop_at
            };
            let mut workspace = Workspace::default();
            let stopped = decode_with(&mut workspace, &file, &limits, Cancel::when(&stop));
            let after = milliseconds() - told.get().unwrap();
            assert!(matches!(stopped, Err(DecodeError::Cancelled(_))), "{name}, poll {stop_at} of {n_asked}");
            assert!(after < SOON_MS, "{name}, poll {stop_at} of {n_asked}: {after:.1} ms");
            // A cancelled image leaves no trace in the next.
            assert!(decode_with(&mut workspace, &file, &limits, Cancel::NEVER).unwrap() == whole, "{name}");
        }
        assert!(decode(&file, &limits).unwrap() == whole, "{name}");
    }
}

#[test]
fn no_file_works_long_without_asking() {
    for (name, file) in files() {
        let (last, longest) = (Cell::new(milliseconds()), Cell::new(0.0_f64));
        let asked = || {
            longest.set(longest.get().max(milliseconds() - last.get()));
            last.set(milliseconds());
            false
        };
        decode_with(&mut Workspace::default(), &file, &DecodeLimits::default(), Cancel::when(&asked))
            .unwrap();
        asked();
        println!("{name}: {:.1} ms between two polls", longest.get());
        assert!(longest.get() < SOON_MS, "{name}: {:.1} ms", longest.get());
    }
}
