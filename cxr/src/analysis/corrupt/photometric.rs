//! Corruptions of grey levels and detail; geometry stays.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub(super) fn to_level(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Applies `to`, a function of the level from 0 to 1, to every pixel.
pub(super) fn map_levels(pixels: &[u8], to: impl Fn(f64) -> f64) -> Vec<u8> {
    let table: [u8; 256] = std::array::from_fn(|level| to_level(255.0 * to(level as f64 / 255.0)));
    pixels.iter().map(|level| table[usize::from(*level)]).collect()
}

/// Scales the contrast about the image's mean.
pub(super) fn contrast(pixels: &[u8], factor: f64) -> Vec<u8> {
    let mean = pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64 / 255.0;
    map_levels(pixels, |level| mean + (level - mean) * factor)
}

/// Adds normal deviates (Box and Muller 1958), two at a time.
pub(super) fn add_noise(pixels: &[u8], sigma: f64, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut noisy = Vec::with_capacity(pixels.len());
    for pair in pixels.chunks(2) {
        let radius = sigma * (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        let added = [radius * cos, radius * sin];
        noisy.extend(pair.iter().zip(added).map(|(level, added)| to_level(f64::from(*level) + added)));
    }
    noisy
}

/// Separable Gaussian, truncated at three sigma, with the edge pixels repeated outside.
pub(super) fn blur(pixels: &[u8], (width, height): (u32, u32), sigma: f64) -> Vec<u8> {
    let radius = (3.0 * sigma).ceil() as i64;
    let kernel: Vec<f32> =
        (-radius..=radius).map(|x| (-0.5 * (x as f64 / sigma).powi(2)).exp() as f32).collect();
    let total: f32 = kernel.iter().sum();
    let (w, h) = (i64::from(width), i64::from(height));
    let weighted = |at: &dyn Fn(i64) -> f32| {
        (-radius..=radius).zip(&kernel).map(|(offset, weight)| at(offset) * weight).sum::<f32>() / total
    };
    let mut across = Vec::with_capacity(pixels.len());
    for y in 0..h {
        for x in 0..w {
            across
                .push(weighted(&|offset| f32::from(pixels[(y * w + (x + offset).clamp(0, w - 1)) as usize])));
        }
    }
    let mut blurred = Vec::with_capacity(pixels.len());
    for y in 0..h {
        for x in 0..w {
            let level = weighted(&|offset| across[((y + offset).clamp(0, h - 1) * w + x) as usize]);
            blurred.push(to_level(f64::from(level)));
        }
    }
    blurred
}

/// Downscales with antialiasing, then upscales.
pub(super) fn through_thumbnail(pixels: &[u8], (width, height): (u32, u32), shrink: f64) -> Vec<u8> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let shrunk = |side: u32| ((f64::from(side) * shrink).round() as u32).max(1);
    let mut resizer = Resizer::new();
    // Typed, because the untyped call compiles every pixel type, which takes a minute.
    let original = TypedImageRef::<U8>::from_buffer(width, height, pixels).expect("width x height pixels");
    let mut small = TypedImage::<U8>::new(shrunk(width), shrunk(height));
    resizer
        .resize_typed(&original, &mut small, &options)
        .expect("the whole of an image with sides above zero");
    let mut back = TypedImage::<U8>::new(width, height);
    resizer.resize_typed(&small, &mut back, &options).expect("the whole of an image with sides above zero");
    back.pixels().iter().map(|pixel| pixel.0).collect()
}
