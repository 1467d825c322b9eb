//! Augmentation: how one training image varies. Everything follows from the seed, the epoch and the image.
//!
//! The order imitates an image's life: the patient lies differently (geometry) and is exposed differently (tone), the
//! detector and the resize are sharper or softer (detail), the archive compresses (JPEG), and CLAHE comes last as it does
//! in the service. Compression after geometry matters: the training images are JPEG copies whose blocks lie on the
//! pixel grid, hospitals send originals without them, and a network that meets one kind only tells them apart.

use crate::config::Augmentation;
use anyhow::{Result, anyhow};
use cxr::DecodeLimits;
use cxr::preprocess::{ClaheSpec, clahe};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, Encoder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Grey level about which contrast turns, as a share of white.
const MID_GREY: f64 = 0.5;

/// The generator of one sample in one epoch: it depends on nothing else, so neither the order of threads nor a
/// resumed run changes what an image looks like.
pub fn generator(seed: u64, epoch: usize, sample: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((epoch as u64) << 32 | sample as u64);
    rng
}

/// Draws one image's variation and applies it.
///
/// # Errors
/// When resizing or JPEG coding fails.
pub fn vary(
    pixels: &[u8],
    size: (u32, u32),
    config: &Augmentation,
    clahe: Option<&ClaheSpec>,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<u8>> {
    let mut pixels = expose(pixels, config, rng);
    if rng.random_bool(config.flip_probability) {
        pixels.chunks_exact_mut(size.0 as usize).for_each(<[u8]>::reverse);
    }
    if rng.random_bool(config.warp_probability) {
        pixels = warp(&pixels, size, &draw_geometry(config, rng));
    }
    if rng.random_bool(config.detail_probability) {
        let shrink = rng.random_range(config.detail_shrink..=1.0);
        let [least, most] = config.detail_gain;
        pixels = change_detail(&pixels, size, shrink, rng.random_range(least..=most))?;
    }
    if rng.random_bool(config.jpeg_probability) {
        let [low, high] = config.jpeg_quality;
        pixels = recompress(&pixels, size, rng.random_range(low..=high))?;
    }
    if let Some(spec) = clahe {
        clahe::apply(&mut pixels, size.0, size.1, spec);
    }
    Ok(pixels)
}

/// Gamma, contrast about mid grey and brightness, in one table.
fn expose(pixels: &[u8], config: &Augmentation, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let gamma = rng.random_range(-config.gamma..=config.gamma).exp();
    let contrast = 1.0 + rng.random_range(-config.contrast..=config.contrast);
    let brightness = rng.random_range(-config.brightness..=config.brightness);
    let table: [u8; 256] = std::array::from_fn(|level| {
        let level = (level as f64 / 255.0).powf(gamma);
        to_level(255.0 * ((level - MID_GREY) * contrast + MID_GREY + brightness))
    });
    pixels.iter().map(|level| table[usize::from(*level)]).collect()
}

/// Rows of the 2x3 matrix from output to input coordinates; both run from -1 to 1 over the image.
fn draw_geometry(config: &Augmentation, rng: &mut ChaCha8Rng) -> [f64; 6] {
    let angle = rng.random_range(-config.rotation_degrees..=config.rotation_degrees).to_radians();
    let [smallest, largest] = config.scale;
    let scale = rng.random_range(smallest..=largest);
    // A share of the side is twice as much of coordinates from -1 to 1.
    let mut shift = || 2.0 * rng.random_range(-config.translation..=config.translation);
    let (x, y) = (shift(), shift());
    let (sin, cos) = (angle.sin() / scale, angle.cos() / scale);
    [cos, -sin, x, sin, cos, y]
}

/// Bilinear; what comes from outside the image is black.
fn warp(pixels: &[u8], (width, height): (u32, u32), matrix: &[f64; 6]) -> Vec<u8> {
    let (w, h) = (i64::from(width), i64::from(height));
    let level = |x: i64, y: i64| {
        let inside = (0..w).contains(&x) && (0..h).contains(&y);
        if inside { f64::from(pixels[(y * w + x) as usize]) } else { 0.0 }
    };
    let mut warped = Vec::with_capacity(pixels.len());
    for row in 0..h {
        let v = (2.0 * row as f64 + 1.0) / h as f64 - 1.0;
        for column in 0..w {
            let u = (2.0 * column as f64 + 1.0) / w as f64 - 1.0;
            let x = ((matrix[0] * u + matrix[1] * v + matrix[2] + 1.0) * w as f64 - 1.0) / 2.0;
            let y = ((matrix[3] * u + matrix[4] * v + matrix[5] + 1.0) * h as f64 - 1.0) / 2.0;
            let (left, top) = (x.floor(), y.floor());
            let (across, down) = (x - left, y - top);
            let (left, top) = (left as i64, top as i64);
            let upper = level(left, top) * (1.0 - across) + level(left + 1, top) * across;
            let lower = level(left, top + 1) * (1.0 - across) + level(left + 1, top + 1) * across;
            warped.push(to_level(upper * (1.0 - down) + lower * down));
        }
    }
    warped
}

/// Multiplies by `gain` what shrinking by `shrink` and enlarging again loses: 0 leaves the soft image, 1 the image as it
/// is, more sharpens.
fn change_detail(pixels: &[u8], (width, height): (u32, u32), shrink: f64, gain: f64) -> Result<Vec<u8>> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let shrunk = |side: u32| ((f64::from(side) * shrink).round() as u32).max(1);
    let mut resizer = Resizer::new();
    let original = ImageRef::new(width, height, pixels, PixelType::U8)?;
    let mut small = Image::new(shrunk(width), shrunk(height), PixelType::U8);
    resizer.resize(&original, &mut small, &options)?;
    let mut soft = Image::new(width, height, PixelType::U8);
    resizer.resize(&small, &mut soft, &options)?;
    let changed = pixels.iter().zip(soft.buffer()).map(|(sharp, soft)| {
        let (sharp, soft) = (f64::from(*sharp), f64::from(*soft));
        to_level(soft + gain * (sharp - soft))
    });
    Ok(changed.collect())
}

/// Through a JPEG file of the given quality and back.
fn recompress(pixels: &[u8], (width, height): (u32, u32), quality: u8) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    Encoder::new(&mut file, quality).encode(pixels, width as u16, height as u16, ColorType::Luma)?;
    let image = cxr::decode(&file, &DecodeLimits::default()).map_err(|rejection| anyhow!(rejection))?;
    Ok(image.samples().iter().map(|sample| *sample as u8).collect())
}

fn to_level(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::phantom::{PhantomSpec, generate};

    const SIZE: (u32, u32) = (64, 48);

    fn still() -> Augmentation {
        Augmentation {
            flip_probability: 0.0,
            warp_probability: 1.0,
            rotation_degrees: 0.0,
            translation: 0.0,
            scale: [1.0, 1.0],
            brightness: 0.0,
            contrast: 0.0,
            gamma: 0.0,
            detail_probability: 1.0,
            detail_shrink: 0.6,
            detail_gain: [1.0, 1.0],
            jpeg_probability: 0.0,
            jpeg_quality: [60, 95],
        }
    }

    fn phantom() -> Vec<u8> {
        generate(&PhantomSpec { seed: 1, width: SIZE.0, height: SIZE.1, opacity: true })
    }

    fn varied(config: &Augmentation, seed: u64, epoch: usize, sample: usize) -> Vec<u8> {
        vary(&phantom(), SIZE, config, None, &mut generator(seed, epoch, sample)).unwrap()
    }

    fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn without_variation_an_image_stays_itself_and_a_mirror_mirrors() {
        assert_eq!(varied(&still(), 1, 0, 0), phantom());
        let mirrored = varied(&Augmentation { flip_probability: 1.0, ..still() }, 1, 0, 0);
        for (row, original) in mirrored.chunks(64).zip(phantom().chunks(64)) {
            assert!(row.iter().eq(original.iter().rev()));
        }
    }

    #[test]
    fn geometry_moves_the_image_by_what_it_says() {
        // An eighth of the width to the left: what was 8 columns to the right is here now, black comes in.
        let moved = warp(&phantom(), SIZE, &[1.0, 0.0, 0.25, 0.0, 1.0, 0.0]);
        for (row, original) in moved.chunks(64).zip(phantom().chunks(64)) {
            assert_eq!(row[..56], original[8..]);
            assert_eq!(row[56..], [0; 8]);
        }
        let turned = warp(&phantom(), SIZE, &[-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
        assert!(turned.iter().eq(phantom().iter().rev()));
    }

    #[test]
    fn detail_softens_and_sharpens() {
        let roughness =
            |pixels: &[u8]| pixels.windows(2).map(|w| f64::from(w[0].abs_diff(w[1]))).sum::<f64>();
        let with = |gain| change_detail(&phantom(), SIZE, 0.6, gain).unwrap();
        assert!(roughness(&with(0.0)) < roughness(&phantom()));
        assert!(roughness(&with(1.5)) > roughness(&phantom()));
    }

    #[test]
    fn variation_is_slight_and_follows_from_seed_epoch_and_sample_alone() {
        let config = Augmentation {
            rotation_degrees: 2.0,
            brightness: 0.02,
            contrast: 0.02,
            gamma: 0.02,
            detail_gain: [0.0, 1.5],
            jpeg_probability: 1.0,
            ..still()
        };
        assert_eq!(varied(&config, 42, 3, 7), varied(&config, 42, 3, 7));
        for (seed, epoch, sample) in [(43, 3, 7), (42, 4, 7), (42, 3, 8)] {
            let other = varied(&config, seed, epoch, sample);
            assert_ne!(varied(&config, 42, 3, 7), other);
            assert!(mean_difference(&other, &phantom()) < 20.0);
        }
    }
}
