//! Preprocessing against Pillow, OpenCV and plain arithmetic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::{ClaheSpec, Geometry, ResizeMode, preprocess};
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits, PreprocessSpec, RejectReason, decode};
use png::{BitDepth, ColorType};

fn png(width: u32, height: u32, data: &[u8], depth: BitDepth) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

fn accept(file: &[u8]) -> Result<AcceptedImage, cxr::Rejection> {
    let image = decode(file, &DecodeLimits::default())?;
    AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default())
}

fn noise(n: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn an_image_of_the_models_size_passes_through_unchanged() {
    let pixels = noise(224 * 224);
    let input =
        preprocess(&accept(&png(224, 224, &pixels, BitDepth::Eight)).unwrap(), &PreprocessSpec::default());
    assert_eq!(input.pixels(), pixels);
    let statistics = input.statistics();
    let mean = pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64 / 255.0;
    assert!((statistics.mean - mean).abs() < 0.002 && statistics.entropy_bits > 7.9, "{statistics:?}");
    assert!((statistics.aspect_ratio - 1.0).abs() < 1e-12 && statistics.p01 < statistics.p50);
}

#[test]
fn an_integer_reduction_is_the_triangle_filter() {
    // Halving with a triangle of support 2 has weights 1/8, 3/8, 3/8, 1/8 along each axis away from the
    // border.
    let pixels = noise(448 * 448);
    let input =
        preprocess(&accept(&png(448, 448, &pixels, BitDepth::Eight)).unwrap(), &PreprocessSpec::default());
    let at = |x: usize, y: usize| f64::from(pixels[y * 448 + x]);
    for (x, y) in [(10, 10), (100, 57), (200, 211)] {
        let taps = [1.0, 3.0, 3.0, 1.0];
        let mut sum = 0.0;
        for (j, v) in taps.iter().enumerate() {
            for (i, u) in taps.iter().enumerate() {
                sum += u * v * at(2 * x + i - 1, 2 * y + j - 1) / 64.0;
            }
        }
        assert!((f64::from(input.pixels()[y * 224 + x]) - sum).abs() <= 0.6, "{x} {y}");
    }
}

#[test]
fn letterbox_keeps_proportions_and_fills_with_black() {
    let spec = PreprocessSpec { resize: ResizeMode::Letterbox, ..Default::default() };
    let pixels: Vec<u8> = noise(400 * 200).iter().map(|p| p / 2 + 100).collect();
    let input = preprocess(&accept(&png(400, 200, &pixels, BitDepth::Eight)).unwrap(), &spec);
    let expected = Geometry { original: (400, 200), input: (224, 224), offset: (0, 56), size: (224, 112) };
    assert_eq!(*input.geometry(), expected);
    let row_is_black = |y: usize| input.pixels()[y * 224..(y + 1) * 224].iter().all(|p| *p == 0);
    assert!((0..56).all(row_is_black) && (168..224).all(row_is_black) && !(56..168).any(row_is_black));
}

#[test]
fn a_stored_jpeg_leaves_its_artefact_and_a_second_one_next_to_nothing() {
    let smooth: Vec<u8> = (0..224 * 224).map(|i| (i % 224 / 2 + i / 448) as u8).collect();
    let stored = PreprocessSpec { stored_jpeg_quality: Some(75), ..Default::default() };
    let through = |pixels: &[u8]| {
        let input = preprocess(&accept(&png(224, 224, pixels, BitDepth::Eight)).unwrap(), &stored);
        assert_eq!(input.pixels().len(), 224 * 224);
        input.pixels().to_vec()
    };
    let difference = |a: &[u8], b: &[u8]| {
        let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.len() as f64
    };
    let noisy: Vec<u8> = smooth.iter().zip(noise(224 * 224)).map(|(s, n)| s.saturating_add(n / 16)).collect();
    let once = through(&noisy);
    let (first, second) = (difference(&noisy, &once), difference(&once, &through(&once)));
    assert!(first > 1.0 && second < first / 5.0, "{first} then {second}");
}

#[test]
fn deep_images_are_windowed_and_a_marker_does_not_darken_them() {
    let mut samples: Vec<u16> = noise(224 * 224).iter().map(|p| 1000 + u16::from(*p) * 8).collect();
    for marker in &mut samples[..30] {
        *marker = 65535;
    }
    let data: Vec<u8> = samples.iter().flat_map(|s| s.to_be_bytes()).collect();
    let accepted = AcceptedImage::accept(
        decode(&png(224, 224, &data, BitDepth::Sixteen), &DecodeLimits::default()).unwrap(),
        AcquisitionMetadata::default(),
        &AcceptancePolicy { min_spread: 0.01, ..Default::default() },
    );
    let statistics = *preprocess(&accepted.unwrap(), &PreprocessSpec::default()).statistics();
    assert!(
        statistics.p01 < 0.05 && statistics.p99 > 0.95 && (statistics.p50 - 0.5).abs() < 0.05,
        "{statistics:?}"
    );
}

#[test]
fn images_without_a_radiograph_are_rejected() {
    let reason = |file: &[u8]| accept(file).unwrap_err().reason;
    assert_eq!(reason(&png(95, 300, &noise(95 * 300), BitDepth::Eight)), RejectReason::TooSmall);
    assert_eq!(reason(&png(100, 500, &noise(100 * 500), BitDepth::Eight)), RejectReason::AspectRatio);
    assert_eq!(reason(&png(200, 200, &vec![77; 40_000], BitDepth::Eight)), RejectReason::Blank);
    let mut nearly: Vec<u8> = noise(40_000).iter().map(|p| 100 + p % 8).collect();
    nearly[..1000].fill(255);
    assert_eq!(reason(&png(200, 200, &nearly, BitDepth::Eight)), RejectReason::Blank);
    let faint: Vec<u8> = noise(40_000).iter().flat_map(|p| (30_000 + u16::from(*p)).to_be_bytes()).collect();
    assert_eq!(reason(&png(200, 200, &faint, BitDepth::Sixteen)), RejectReason::Blank);
    assert!(accept(&png(200, 200, &noise(40_000), BitDepth::Eight)).is_ok());
}

#[test]
fn an_impossible_recipe_is_refused() {
    let spec = PreprocessSpec::default();
    assert!(spec.check().is_ok());
    assert!(PreprocessSpec { version: 2, ..spec }.check().is_err());
    assert!(PreprocessSpec { width: 0, ..spec }.check().is_err());
    for (clip_limit, tiles) in [(0.0, [8, 8]), (f64::NAN, [8, 8]), (2.0, [0, 8]), (2.0, [8, 200])] {
        assert!(PreprocessSpec { clahe: Some(ClaheSpec { clip_limit, tiles }), ..spec }.check().is_err());
    }
}
