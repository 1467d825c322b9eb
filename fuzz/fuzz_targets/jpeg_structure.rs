//! JPEGs made from bytes: random coefficients in a random arrangement of frame and scans, some with headers
//! that are changed afterwards. An unchanged file must decode to the same pixels as with another decoder, or
//! be rejected by name. A changed file must finish in time. If both decoders read it they must agree, unless
//! the change produced coefficients that no encoder writes: T.81 does not define those, and every decoder
//! wraps or clips them in its own way.

#![no_main]

#[path = "../../cxr/tests/jpeg/coefficients.rs"]
#[expect(dead_code, reason = "the decoder's own tests use all of it")]
mod coefficients;

use coefficients::{Block, Layout, Picture, Scan, ZIGZAG};
use cxr::{DecodeLimits, RejectReason, Rejection, decode};
use libfuzzer_sys::fuzz_target;
use std::panic;
use std::time::{Duration, Instant};

/// Time limit for a file; none has more than 10,000 pixels.
const TIME: Duration = Duration::from_secs(2);
const TOLERANCE: u8 = 2;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input { bytes };
    let colour = input.below(4) > 0;
    let samplings = samplings(&mut input);
    let neutral = input.below(2) == 0;
    let is_changed = input.below(2) == 0;
    let components = if colour { &samplings[..] } else { &samplings[..1] };
    let picture = picture(&mut input, components, neutral, is_changed);
    let (layout, together) = layout(&mut input, picture.components.len());
    if together && samplings.iter().map(|(h, v)| h * v).sum::<usize>() > 10 {
        return;
    }
    let mut file = picture.write(&layout);
    let is_comparable = !is_changed || change(&mut file, &mut input);
    let begun = Instant::now();
    let ours = grey(&file);
    assert!(begun.elapsed() < TIME, "{:?}", begun.elapsed());
    if is_changed {
        if is_comparable && (!colour || neutral) {
            agree(&file, ours.as_deref().ok());
        }
    } else if !colour || is_read(&samplings, !together) {
        let plain = picture.grey().write(&Layout::plain(0xC0, 1));
        let theirs = jpeg_decoder_grey(&plain).expect("a plain file");
        assert!(worst(&ours.expect("a file that is read"), &theirs) <= TOLERANCE, "{layout:?}");
    } else {
        assert_eq!(ours.expect_err("a file that is refused").reason, RejectReason::UnsupportedPixelFormat);
    }
});

fn grey(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let limits = DecodeLimits { max_pixels: 1 << 20, ..DecodeLimits::default() };
    let decoded = decode(file, &limits).inspect_err(|refused| {
        assert!(refused.reason != RejectReason::DecoderFailed, "{refused:?}");
    })?;
    Ok(decoded.samples().iter().map(|sample| *sample as u8).collect())
}

/// Decodes with jpeg-decoder a file whose colours are all grey.
fn jpeg_decoder_grey(file: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = jpeg_decoder::Decoder::new(file);
    decoder.set_max_decoding_buffer_size(1 << 24);
    // jpeg-decoder panics on some broken files; ours must not. The fuzzer's hook would end the process.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let read = panic::catch_unwind(panic::AssertUnwindSafe(|| (decoder.decode().ok(), decoder.info())));
    panic::set_hook(hook);
    let (Some(pixels), Some(info)) = read.ok()? else { return None };
    match info.pixel_format {
        jpeg_decoder::PixelFormat::L8 => Some(pixels),
        jpeg_decoder::PixelFormat::RGB24 => {
            let (pixels, _) = pixels.as_chunks::<3>();
            let is_grey = pixels.iter().all(|[r, g, b]| r.abs_diff(*g) <= 1 && b.abs_diff(*g) <= 1);
            is_grey.then(|| pixels.iter().map(|[_, g, _]| *g).collect())
        }
        _ => None,
    }
}

fn agree(file: &[u8], ours: Option<&[u8]>) {
    // The other decoder takes seconds for the size that a changed header declares.
    let Some(ours) = ours else { return };
    let Some(theirs) = jpeg_decoder_grey(file) else { return };
    assert_eq!(ours.len(), theirs.len());
    // The pictures are pale: only coefficients that no encoder writes reach black and white.
    if ours.iter().chain(&theirs).any(|level| matches!(level, 0 | 255)) {
        return;
    }
    assert!(worst(ours, &theirs) <= TOLERANCE, "{} levels", worst(ours, &theirs));
}

fn worst(a: &[u8], b: &[u8]) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// Whether samplings are supported (docs/DECODE.md); `apart`: each scan holds one component.
fn is_read(samplings: &[(usize, usize); 3], apart: bool) -> bool {
    let width = samplings.iter().map(|sampling| sampling.0).max().unwrap_or(1);
    let height = samplings.iter().map(|sampling| sampling.1).max().unwrap_or(1);
    let whole = samplings.iter().all(|(h, _)| *h != 3 && width % h == 0);
    samplings[0] == (width, height) && (apart || whole)
}

/// Numbers from the fuzzer's bytes, zeros after their end.
struct Input<'a> {
    bytes: &'a [u8],
}

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

fn samplings(input: &mut Input<'_>) -> [(usize, usize); 3] {
    if input.below(2) == 0 {
        let luma = [(1, 1), (2, 1), (1, 2), (2, 2)][input.below(4)];
        return [luma, (1, 1), (1, 1)];
    }
    [0; 3].map(|_| (1 + input.below(4), 1 + input.below(4)))
}

fn picture(input: &mut Input<'_>, samplings: &[(usize, usize)], neutral: bool, pale: bool) -> Picture {
    let ids = [[1, 2, 3], [0, 1, 2], [82, 200, 7]][input.below(3)];
    let (width, height) = (1 + input.below(99), 1 + input.below(99));
    let components: Vec<_> = samplings.iter().zip(ids).map(|((h, v), id)| (id, *h, *v)).collect();
    let quantiser = 1 + input.below(8) as u8;
    Picture::new(width, height, quantiser, &components, |component, _, _| {
        let mut block: Block = [0; 64];
        if component == 0 || !neutral {
            let brightness = i16::from(input.byte() as i8);
            block[0] = if pale { brightness / 8 } else { brightness };
            for _ in 0..input.below(4) {
                block[ZIGZAG[1 + input.below(63)]] = i16::from(input.byte() as i8) / 8;
            }
        }
        block
    })
}

fn layout(input: &mut Input<'_>, n: usize) -> (Layout, bool) {
    let all: Vec<usize> = (0..n).collect();
    let (frame, scans) = match input.below(4) {
        0 => (0xC0, vec![Scan::whole(&all)]),
        1 => (0xC1, input.shuffled(n).iter().map(|c| Scan::whole(&[*c])).collect()),
        _ => (0xC2, progression(input, n)),
    };
    let together = scans.iter().any(|scan| scan.components.len() > 1);
    let restart = if input.below(3) == 0 { 1 + input.below(14) as u16 } else { 0 };
    let (jfif, adobe) = [(true, None), (false, Some(1)), (false, None)][input.below(3)];
    (Layout { frame, scans, restart, adobe, jfif, tables_again: input.below(2) == 0 }, together)
}

fn progression(input: &mut Input<'_>, n: usize) -> Vec<Scan> {
    let all: Vec<usize> = (0..n).collect();
    let (together, low) = (input.below(2) == 0, input.below(3) as u8);
    let dc = |input: &mut Input<'_>, high: u8, low: u8| -> Vec<Scan> {
        if together {
            return vec![Scan::bits(&all, 0, 0, high, low)];
        }
        input.shuffled(n).iter().map(|c| Scan::bits(&[*c], 0, 0, high, low)).collect()
    };
    let mut scans = dc(input, 0, low);
    for component in input.shuffled(n) {
        let (low, cut) = (input.below(4) as u8, 1 + input.below(62) as u8);
        scans.push(Scan::bits(&[component], 1, cut, 0, low));
        scans.push(Scan::bits(&[component], cut + 1, 63, 0, low));
        scans.extend((0..low).rev().map(|low| Scan::bits(&[component], 1, 63, low + 1, low)));
    }
    for low in (0..low).rev() {
        scans.extend(dc(input, low + 1, low));
    }
    scans
}

/// Changes bytes in headers and segments and at their starts. Returns false if compressed data or Huffman
/// tables changed, because the coefficients are then arbitrary.
fn change(file: &mut [u8], input: &mut Input<'_>) -> bool {
    let segments = segments(file);
    let mut is_comparable = true;
    for _ in 0..=input.below(3) {
        let (begin, _) = segments[input.below(segments.len())];
        let at = begin + 1 + input.below(20);
        let Some(byte) = file.get_mut(at) else { continue };
        *byte = input.byte();
        let within = segments.iter().find(|(begin, end)| (*begin..*end).contains(&at));
        is_comparable &= within.is_some_and(|(begin, _)| file[begin + 1] != 0xC4);
    }
    is_comparable
}

/// Start and end of the segments.
fn segments(file: &[u8]) -> Vec<(usize, usize)> {
    let length = |begin: usize, marker: u8| match (marker, file.get(begin + 2..begin + 4)) {
        (0xD0..=0xD9, _) | (_, None) => 0,
        (_, Some(length)) => usize::from(u16::from_be_bytes([length[0], length[1]])),
    };
    let markers = file.windows(2).enumerate().filter(|(_, pair)| {
        pair[0] == 0xFF && matches!(pair[1], 0xC0..=0xC2 | 0xC4 | 0xD0..=0xDD | 0xE0 | 0xEE)
    });
    markers.map(|(begin, pair)| (begin, begin + 2 + length(begin, pair[1]))).collect()
}
