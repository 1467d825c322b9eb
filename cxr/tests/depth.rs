//! 8-bit pixels in 16-bit files give the same model input, bit for bit, as the 8-bit file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::image::Windowing;
use cxr::metadata::AcquisitionMetadata;
use cxr::phantom::{PhantomSpec, generate};
use cxr::preprocess::preprocess;
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits, DecodedImage, PreprocessSpec};
use png::{BitDepth, ColorType};
use std::io::Cursor;
use tiff::encoder::{TiffEncoder, colortype};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 256;

/// Ways to store 8 bits in 16.
const DEEPENINGS: [(&str, fn(u16) -> u16); 9] = [
    ("x 257", |level| level * 257),
    ("<< 8", |level| level << 8),
    ("<< 6", |level| level << 6),
    ("<< 4", |level| level << 4),
    ("<< 2", |level| level << 2),
    ("as they are", |level| level),
    ("to 12 bits, rounded", |level| ((u32::from(level) * 4095 + 127) / 255) as u16),
    ("to 12 bits, cut off", |level| (u32::from(level) * 4095 / 255) as u16),
    ("to 12 bits on top of 16", |level| (level << 4 | level >> 4) << 4),
];

fn png(bytes: &[u8], colour: ColorType, depth: BitDepth) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    file
}

fn big_endian(samples: impl IntoIterator<Item = u16>) -> Vec<u8> {
    samples.into_iter().flat_map(u16::to_be_bytes).collect()
}

/// `None` for the one kind that the encoder cannot write.
fn tiff16(samples: &[u16], colour: ColorType) -> Option<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut file).unwrap();
    match colour {
        ColorType::Grayscale => encoder.write_image::<colortype::Gray16>(WIDTH, HEIGHT, samples),
        ColorType::Rgb => encoder.write_image::<colortype::RGB16>(WIDTH, HEIGHT, samples),
        ColorType::Rgba => encoder.write_image::<colortype::RGBA16>(WIDTH, HEIGHT, samples),
        _ => return None,
    }
    .unwrap();
    Some(file.into_inner())
}

fn decode(file: &[u8]) -> DecodedImage {
    cxr::decode(file, &DecodeLimits::default()).unwrap()
}

fn input(image: DecodedImage) -> Vec<u8> {
    let accepted =
        AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default()).unwrap();
    preprocess(&accepted, &PreprocessSpec::default()).pixels().to_vec()
}

/// A phantom, and a version with fewer levels and a darker one.
fn pictures() -> Vec<Vec<u8>> {
    let mut pictures = Vec::new();
    for seed in 0..4 {
        let levels = generate(&PhantomSpec { seed, width: WIDTH, height: HEIGHT, opacity: seed % 2 == 0 });
        pictures.push(levels.iter().map(|level| level / 3).collect());
        pictures.push(levels.iter().map(|level| 60 + level / 2).collect());
        pictures.push(levels);
    }
    pictures
}

#[test]
fn grey_files_are_read_as_the_8_bit_file() {
    for (number, levels) in pictures().iter().enumerate() {
        let shallow = decode(&png(levels, ColorType::Grayscale, BitDepth::Eight));
        let expected = input(shallow.clone());
        for (name, deepen) in DEEPENINGS {
            let deep: Vec<u16> = levels.iter().map(|level| deepen(u16::from(*level))).collect();
            let as_png = png(&big_endian(deep.iter().copied()), ColorType::Grayscale, BitDepth::Sixteen);
            for file in [as_png, tiff16(&deep, ColorType::Grayscale).unwrap()] {
                let image = decode(&file);
                assert_eq!(image.samples(), shallow.samples(), "picture {number}, {name}");
                assert_eq!((image.significant_bits(), image.windowing()), (8, Windowing::FullRange));
                assert_eq!(input(image), expected, "picture {number}, {name}");
            }
        }
    }
}

#[test]
fn colour_and_alpha_are_read_as_in_the_8_bit_file() {
    let levels = &pictures()[2];
    let tinted: Vec<u8> =
        levels.iter().flat_map(|level| [*level, level.saturating_sub(9), level / 2]).collect();
    let opaque: Vec<u8> = tinted.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect();
    let half: Vec<u8> = levels.iter().flat_map(|level| [*level, 128]).collect();
    for (bytes, colour) in
        [(&tinted, ColorType::Rgb), (&opaque, ColorType::Rgba), (&half, ColorType::GrayscaleAlpha)]
    {
        let expected = decode(&png(bytes, colour, BitDepth::Eight));
        for (name, deepen) in &DEEPENINGS[..2] {
            let n_channels = colour.samples();
            let has_alpha = n_channels % 2 == 0;
            let deep = bytes.iter().enumerate().map(|(position, level)| {
                let level = u16::from(*level);
                // Opaque pixels stay opaque in every storage.
                if has_alpha && position % n_channels == n_channels - 1 { level * 257 } else { deepen(level) }
            });
            let deep: Vec<u16> = deep.collect();
            let as_tiff = tiff16(&deep, colour);
            for file in [Some(png(&big_endian(deep), colour, BitDepth::Sixteen)), as_tiff].iter().flatten() {
                let image = decode(file);
                assert_eq!(image.samples(), expected.samples(), "{colour:?} {name}");
                assert_eq!((image.significant_bits(), image.windowing()), (8, Windowing::FullRange));
            }
        }
    }
}

#[test]
fn files_with_real_depth_keep_it() {
    let levels = &pictures()[2];
    for (bits, shift) in [(12, 0), (12, 4), (16, 0)] {
        // Random low bits below every level, which 8-bit data do not have.
        let steps = 1_u16 << (bits - 8);
        let deep: Vec<u16> = levels
            .iter()
            .zip((0..steps).cycle())
            .map(|(level, n)| (u16::from(*level) * steps + n) << shift)
            .collect();
        let image = decode(&tiff16(&deep, ColorType::Grayscale).unwrap());
        assert_eq!(image.samples().as_ref(), deep, "{bits} bits << {shift}");
        assert!(matches!(image.windowing(), Windowing::Quantiles { .. }));
        assert_eq!(u32::from(image.significant_bits()), bits + shift);
    }
}
