//! Structured TIFF files. A file by the test writer must decode to its samples. After changes to tags,
//! offsets and bytes, an image that both this decoder and the crate `tiff` read must have the same samples in
//! both. No file may cost more work than its bytes and pixels allow.

#![no_main]

use cxr::{Cancel, DecodeLimits, DecodedImage, Workspace, decode_with};
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use std::cell::Cell;
use std::io::Cursor;
use std::time::{Duration, Instant};
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use writer::{DEFLATE, LZW, OLD_DEFLATE, PACK_BITS, Picture, STORED, Spec};

#[path = "../../cxr/tests/tiff/writer.rs"]
mod writer;

/// Bytes of work between two polls for cancellation.
const POLL_BYTES: u64 = 64 << 10;
/// Time limit: far more than the slowest file of this length takes on a busy machine.
const TIME_BOUND: Duration = Duration::from_secs(5);

/// Tags whose values are replaced.
const TAGS: [u16; 21] =
    [254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339];

fn picture(input: &mut Unstructured<'_>) -> Result<Picture> {
    let (width, height) = (input.int_in_range(1..=70)?, input.int_in_range(1..=70)?);
    let channels = input.int_in_range(1..=5)?;
    let bits = *input.choose(&[1, 2, 4, 8, 8, 8, 10, 12, 16, 16])?;
    let mut picture = Picture::new(width, height, channels, bits);
    let mask = ((1u32 << bits) - 1) as u16;
    let n_free = input.int_in_range(0..=64_usize)?.min(picture.samples.len());
    for sample in &mut picture.samples[..n_free] {
        *sample = u16::arbitrary(input)? & mask;
    }
    Ok(picture)
}

fn spec(input: &mut Unstructured<'_>, picture: &Picture) -> Result<Spec> {
    let compression = *input.choose(&[STORED, LZW, LZW, DEFLATE, OLD_DEFLATE, PACK_BITS])?;
    let side =
        |input: &mut Unstructured<'_>| input.int_in_range(1..=6).map(|sixteenths: usize| 16 * sixteenths);
    Ok(Spec {
        compression,
        differences: matches!(picture.bits, 8 | 16)
            && !matches!(compression, STORED | PACK_BITS)
            && input.arbitrary()?,
        tile: if input.arbitrary()? { Some([side(input)?, side(input)?]) } else { None },
        rows_per_strip: input.int_in_range(1..=80)?,
        planar: input.arbitrary()?,
        reversed_bits: input.ratio(1, 4)?,
        big_endian: input.arbitrary()?,
        big: input.ratio(1, 4)?,
        photometric: if picture.channels > 2 { 2 } else { input.int_in_range(0..=1)? },
        ..Spec::default()
    })
}

/// Replaces tags and overwrites bytes.
fn change(input: &mut Unstructured<'_>, picture: &Picture, spec: &mut Spec) -> Result<Vec<u8>> {
    for _ in 0..input.int_in_range(0..=4)? {
        let tag = *input.choose(&TAGS)?;
        let wide = input.ratio(1, 4)?;
        let n_values = input.int_in_range(1..=4)?;
        let value =
            |_| if wide { u32::arbitrary(input).map(u64::from) } else { u8::arbitrary(input).map(u64::from) };
        let values: Result<Vec<u64>> = (0..n_values).map(value).collect();
        spec.tags.insert(tag, values?);
    }
    let mut file = writer::write(picture, spec);
    for _ in 0..input.int_in_range(0..=8)? {
        let at = input.choose_index(file.len())?;
        file[at] = input.arbitrary()?;
    }
    Ok(file)
}

/// Width, height and grey samples.
type Grey = (u32, u32, Vec<u16>);

/// Decodes with this library and checks the work.
fn ours(file: &[u8]) -> Option<DecodedImage> {
    let (polls, begun) = (Cell::new(0u64), Instant::now());
    let count = || {
        polls.set(polls.get() + 1);
        false
    };
    let limits = DecodeLimits { max_pixels: 1 << 22, ..DecodeLimits::default() };
    let image = decode_with(&mut Workspace::default(), file, &limits, Cancel::when(&count));
    let allowed = 200 * file.len() as u64 + 40 * limits.max_pixels;
    assert!(polls.get() * POLL_BYTES <= allowed, "{} polls for {} bytes", polls.get(), file.len());
    assert!(begun.elapsed() < TIME_BOUND, "{:?} for {} bytes", begun.elapsed(), file.len());
    image.ok()
}

/// Whether the image has these samples. If 16-bit samples hold only 256 levels they are read as 8 bits, and
/// only the size is compared.
fn is_same(image: &DecodedImage, stored_bits: u8, (width, height, samples): &Grey) -> bool {
    let is_narrowed = stored_bits > 8 && image.significant_bits() <= 8;
    (image.width(), image.height()) == (*width, *height)
        && (is_narrowed || image.samples()[..] == samples[..])
}

fn grey(samples: &[u16], channels: usize) -> Vec<u16> {
    let luma = |[r, g, b]: [u16; 3]| {
        ((19595 * u64::from(r) + 38470 * u64::from(g) + 7471 * u64::from(b) + 32768) >> 16) as u16
    };
    let pixel = |pixel: &[u16]| if let [r, g, b, ..] = *pixel { luma([r, g, b]) } else { pixel[0] };
    samples.chunks_exact(channels).map(pixel).collect()
}

/// Decodes with the crate `tiff`, limited to what it reads correctly: chunky grey or RGB of 8 or 16 bits. It
/// ignores FillOrder 2 and the orientation, and inverts WhiteIsZero.
fn theirs(file: &[u8]) -> Option<(u8, Grey)> {
    use tiff::tags::Tag;
    let mut decoder = Decoder::new(Cursor::new(file)).ok()?;
    let mut is = |tag, wanted: u64| {
        decoder.find_tag_unsigned::<u64>(tag).is_ok_and(|value| value.is_none_or(|value| value == wanted))
    };
    if !(is(Tag::FillOrder, 1)
        && is(Tag::PlanarConfiguration, 1)
        && is(Tag::NewSubfileType, 0)
        && is(Tag::SubfileType, 1)
        && is(Tag::Orientation, 1))
    {
        return None;
    }
    // Without LZW or Deflate the predictor is ignored, as in libtiff.
    if (is(Tag::Compression, STORED) || is(Tag::Compression, PACK_BITS)) && !is(Tag::Predictor, 1) {
        return None;
    }
    let white_is_zero = is(Tag::PhotometricInterpretation, 0);
    if decoder.find_tag(Tag::ExtraSamples).ok()?.is_some() {
        return None;
    }
    let channels = match decoder.colortype().ok()? {
        ColorType::Gray(8 | 16) => 1,
        ColorType::RGB(8 | 16) => 3,
        _ => return None,
    };
    let (width, height) = decoder.dimensions().ok()?;
    if u64::from(width) * u64::from(height) > 1 << 22 {
        return None;
    }
    let (bits, samples): (u8, Vec<u16>) = match decoder.read_image().ok()? {
        DecodingResult::U8(samples) => (8, samples.into_iter().map(u16::from).collect()),
        DecodingResult::U16(samples) => (16, samples),
        _ => return None,
    };
    let stored = |value: u16| if white_is_zero { u16::MAX >> (16 - bits) ^ value } else { value };
    let samples: Vec<u16> = samples.into_iter().map(stored).collect();
    Some((bits, (width, height, grey(&samples, channels))))
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let made = picture(&mut input).and_then(|picture| spec(&mut input, &picture).map(|spec| (picture, spec)));
    let Ok((picture, mut spec)) = made else { return };
    let whole = ours(&writer::write(&picture, &spec));
    let expected = (picture.width as u32, picture.height as u32, grey(&picture.samples, picture.channels));
    let is_whole = whole.is_some_and(|image| is_same(&image, picture.bits, &expected));
    assert!(is_whole, "other samples than were written: {picture:?} {spec:?}");
    let Ok(file) = change(&mut input, &picture, &mut spec) else { return };
    if let (Some(image), Some((bits, theirs))) = (ours(&file), theirs(&file)) {
        assert!(is_same(&image, bits, &theirs), "two decoders read different images: {spec:?}");
    }
});
