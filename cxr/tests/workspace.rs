//! Optimisations must not change results: byte samples against the same image in 16 bits, a used workspace
//! against a new one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::{ResizeMode, preprocess, preprocess_with};
use cxr::{
    AcceptancePolicy, AcceptedImage, Cancel, DecodeError, DecodeLimits, DecodedImage, PreprocessSpec,
    Workspace, decode, decode_with,
};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U16;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::ColorType as JpegColour;
use png::{BitDepth, ColorType};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sizes that shrink, grow and stay the same along each axis, by integer and fractional factors.
const SIZES: [(u32, u32); 11] = [
    (224, 224),
    (2000, 1600),
    (1023, 769),
    (448, 448),
    (224, 500),
    (700, 224),
    (225, 223),
    (100, 97),
    (300, 111),
    (96, 384),
    (3001, 1009),
];

fn png(width: u32, height: u32, data: &[u8], colour: ColorType, depth: BitDepth) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

fn jpeg(width: u32, height: u32, data: &[u8], colour: JpegColour, progressive: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 85);
    encoder.set_progressive(progressive);
    encoder.encode(data, width as u16, height as u16, colour).unwrap();
    file
}

fn accept(image: DecodedImage) -> AcceptedImage {
    let policy = AcceptancePolicy { min_spread: 0.0, ..Default::default() };
    AcceptedImage::accept(image, AcquisitionMetadata::default(), &policy).unwrap()
}

/// The 16-bit resize of the crate `fast_image_resize`.
fn reduced_in_16_bits(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let levels: Vec<U16> = pixels.iter().map(|pixel| U16::new(u16::from(*pixel) * 257)).collect();
    let source = TypedImageRef::new(width, height, &levels).unwrap();
    let mut target = TypedImage::new(224, 224);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize_typed(&source, &mut target, &options).unwrap();
    target.pixels().iter().map(|level| ((u32::from(level.0) + 128) / 257) as u8).collect()
}

#[test]
fn bytes_are_reduced_to_the_bit_as_16_bit_samples_are() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut workspace = Workspace::default();
    for (width, height) in SIZES {
        let pictures: [Vec<u8>; 4] = [
            (0..width * height).map(|_| rng.random()).collect(),
            // Nearly every resized pixel lies on the border between two grey levels.
            (0..width * height).map(|i| 100 + ((i % width + i / width) % 2) as u8).collect(),
            (0..width * height).map(|i| (i % width * 255 / width) as u8).collect(),
            (0..width * height)
                .map(|i| if i % width < width / 3 { 0 } else { 254 + rng.random_range(0..2) })
                .collect(),
        ];
        for (index, pixels) in pictures.iter().enumerate() {
            let file = png(width, height, pixels, ColorType::Grayscale, BitDepth::Eight);
            let accepted =
                accept(decode_with(&mut workspace, &file, &DecodeLimits::default(), Cancel::NEVER).unwrap());
            let input = preprocess_with(&mut workspace, &accepted, &PreprocessSpec::default());
            workspace.reclaim(accepted);
            assert!(
                input.pixels() == reduced_in_16_bits(pixels, width, height),
                "{width} x {height}, picture {index}"
            );
        }
    }
}

#[test]
fn files_of_few_bits_are_reduced_as_what_they_show() {
    let bits: Vec<u8> = (0..40 * 300).map(|i| ((i * 2_654_435_761_u64) >> 7) as u8).collect();
    let shown: Vec<u8> =
        bits.iter().flat_map(|byte| (0..8).map(move |bit| (byte >> (7 - bit) & 1) * 255)).collect();
    let file = png(320, 300, &bits, ColorType::Grayscale, BitDepth::One);
    let input =
        preprocess(&accept(decode(&file, &DecodeLimits::default()).unwrap()), &PreprocessSpec::default());
    assert!(input.pixels() == reduced_in_16_bits(&shown, 320, 300));
}

/// Files of every kind that shares a buffer, some of them broken.
fn mixed(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let (width, height) = (rng.random_range(96..400u32), rng.random_range(100..380u32));
    let mut noise = |n: u32| (0..n).map(|_| rng.random()).collect::<Vec<u8>>();
    let (grey, rgb) = (noise(width * height), noise(3 * width * height));
    let mut file = match rng.random_range(0..6) {
        0 => jpeg(width, height, &grey, JpegColour::Luma, false),
        1 => jpeg(width, height, &grey, JpegColour::Luma, true),
        2 => jpeg(width, height, &rgb, JpegColour::Rgb, false),
        3 => png(width, height, &grey, ColorType::Grayscale, BitDepth::Eight),
        4 => png(width, height, &rgb, ColorType::Rgb, BitDepth::Eight),
        _ => png(
            width / 2,
            height,
            &grey[..(width / 2 * 2 * height) as usize],
            ColorType::Grayscale,
            BitDepth::Sixteen,
        ),
    };
    if rng.random_range(0..4) == 0 {
        let at = rng.random_range(0..file.len());
        file[at] ^= 0x5A;
    }
    file
}

#[test]
fn a_used_workspace_gives_what_a_new_one_gives() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut workspace = Workspace::default();
    let (limits, policy) =
        (DecodeLimits { max_pixels: 1 << 20, ..Default::default() }, AcceptancePolicy::default());
    let mut n_accepted = 0;
    for number in 0..300 {
        let file = mixed(&mut rng);
        let spec = PreprocessSpec {
            resize: if number % 2 == 0 { ResizeMode::Squash } else { ResizeMode::Letterbox },
            stored_jpeg_quality: (number % 3 == 0).then_some(75),
            ..Default::default()
        };
        let (used, new) =
            (decode_with(&mut workspace, &file, &limits, Cancel::NEVER), decode(&file, &limits));
        assert!(used == new.map_err(DecodeError::from), "file {number}");
        let Ok(image) = used else { continue };
        let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &policy);
        let Ok(accepted) = accepted else { continue };
        assert!(
            preprocess_with(&mut workspace, &accepted, &spec) == preprocess(&accepted, &spec),
            "file {number}"
        );
        workspace.reclaim(accepted);
        n_accepted += 1;
    }
    assert!(n_accepted > 200, "{n_accepted} of 300 accepted");
}
