//! Augmentation: how one training image varies. What changes pixels one image at a time happens here on the processor;
//! geometry and tone are only drawn here and applied to the whole batch on the device. Everything follows from the seed.

use crate::config::Augmentation;
use anyhow::{Result, anyhow};
use cxr::DecodeLimits;
use cxr::preprocess::{ClaheSpec, clahe};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, Encoder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

/// Grey level about which contrast turns.
const MID_GREY: f64 = 127.5;

/// The generator of one sample in one epoch: it depends on nothing else, so neither the order of threads nor a
/// resumed run changes what an image looks like.
pub fn generator(seed: u64, epoch: usize, sample: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((epoch as u64) << 32 | sample as u64);
    rng
}

/// One varied image and what remains to be done to it on the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Pixels, row-major.
    pub pixels: Vec<u8>,
    /// Rows of the 2x3 matrix from output to input coordinates, both from -1 to 1.
    pub geometry: [f32; 6],
    /// Factor about mid grey, and the level added after it.
    pub tone: [f32; 2],
}

/// Draws and applies one image's variation.
///
/// # Errors
/// When JPEG coding fails.
pub fn vary(
    pixels: &[u8],
    size: (u32, u32),
    config: &Augmentation,
    clahe: Option<&ClaheSpec>,
    rng: &mut ChaCha8Rng,
) -> Result<Sample> {
    let geometry = draw_geometry(config, rng);
    let contrast = 1.0 + rng.random_range(-config.contrast..=config.contrast);
    let brightness = 255.0 * rng.random_range(-config.brightness..=config.brightness);
    let mut pixels = pixels.to_vec();
    if rng.random_bool(config.resample_probability) {
        pixels = resample(&pixels, size, rng.random_range(config.resample_factor..=1.0))?;
    }
    if rng.random_bool(config.jpeg_probability) {
        let [low, high] = config.jpeg_quality;
        pixels = recompress(&pixels, size, rng.random_range(low..=high))?;
    }
    if let Some(spec) = clahe {
        clahe::apply(&mut pixels, size.0, size.1, spec);
    }
    Ok(Sample { pixels, geometry, tone: [contrast as f32, brightness as f32] })
}

fn draw_geometry(config: &Augmentation, rng: &mut ChaCha8Rng) -> [f32; 6] {
    let mirror = if rng.random_bool(config.flip_probability) { -1.0 } else { 1.0 };
    let angle = rng.random_range(-config.rotation_degrees..=config.rotation_degrees).to_radians();
    let [smallest, largest] = config.scale;
    let scale = rng.random_range(smallest..=largest);
    // Coordinates run from -1 to 1: a share of the side is twice as much of them.
    let mut shift = || 2.0 * rng.random_range(-config.translation..=config.translation);
    let (x, y) = (shift(), shift());
    let (sin, cos) = (angle.sin() / scale, angle.cos() / scale);
    [mirror * cos, -mirror * sin, x, sin, cos, y].map(|value| value as f32)
}

/// Shrinks by `factor` and enlarges again: what lower resolution or a softer detector leaves of an image.
fn resample(pixels: &[u8], (width, height): (u32, u32), factor: f64) -> Result<Vec<u8>> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let shrunk = |side: u32| ((f64::from(side) * factor).round() as u32).max(1);
    let mut resizer = Resizer::new();
    let original = ImageRef::new(width, height, pixels, PixelType::U8)?;
    let mut small = Image::new(shrunk(width), shrunk(height), PixelType::U8);
    resizer.resize(&original, &mut small, &options)?;
    let mut restored = Image::new(width, height, PixelType::U8);
    resizer.resize(&small, &mut restored, &options)?;
    Ok(restored.into_vec())
}

/// Through a JPEG file of the given quality and back.
fn recompress(pixels: &[u8], (width, height): (u32, u32), quality: u8) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    Encoder::new(&mut file, quality).encode(pixels, width as u16, height as u16, ColorType::Luma)?;
    let image = cxr::decode(&file, &DecodeLimits::default()).map_err(|rejection| anyhow!(rejection))?;
    Ok(image.samples().iter().map(|sample| *sample as u8).collect())
}

/// Applies tone and geometry to a batch on its device: uint8 `[N, 1, H, W]` to float32 grey levels 0 to 255.
/// `tone` is `[N, 2]`, `geometry` `[N, 6]`; what comes from outside the image is black.
pub fn warp(images_nchw: &Tensor, geometry: &Tensor, tone: &Tensor, device: Device) -> Tensor {
    let images = images_nchw.to_device(device).to_kind(Kind::Float);
    let tone = tone.to_device(device).view([-1, 2, 1, 1]);
    let (contrast, brightness) = (tone.narrow(1, 0, 1), tone.narrow(1, 1, 1));
    let toned = ((images - MID_GREY) * contrast + MID_GREY + brightness).clamp(0.0, 255.0);
    let matrices = geometry.to_device(device).view([-1, 2, 3]);
    let grid = Tensor::affine_grid_generator(&matrices, toned.size(), false);
    // Interpolation 0 is bilinear, padding 0 is zeros.
    toned.grid_sampler(&grid, 0, 0, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::phantom::{PhantomSpec, generate};

    fn still() -> Augmentation {
        Augmentation {
            flip_probability: 0.0,
            rotation_degrees: 0.0,
            translation: 0.0,
            scale: [1.0, 1.0],
            brightness: 0.0,
            contrast: 0.0,
            resample_probability: 0.0,
            resample_factor: 1.0,
            jpeg_probability: 0.0,
            jpeg_quality: [60, 95],
        }
    }

    fn phantom() -> Vec<u8> {
        generate(&PhantomSpec { seed: 1, width: 64, height: 64, opacity: true })
    }

    fn warped(sample: &Sample) -> Vec<f32> {
        let images = Tensor::from_slice(&sample.pixels).view([1, 1, 64, 64]);
        let out = warp(&images, &Tensor::from_slice(&sample.geometry), &Tensor::from_slice(&sample.tone), Device::Cpu);
        Vec::try_from(out.flatten(0, -1)).unwrap()
    }

    #[test]
    fn without_variation_an_image_stays_itself_and_a_mirror_mirrors() {
        let pixels = phantom();
        let sample = vary(&pixels, (64, 64), &still(), None, &mut generator(1, 0, 0)).unwrap();
        let same = warped(&sample);
        assert!(same.iter().zip(&pixels).all(|(a, b)| (a - f32::from(*b)).abs() < 1e-2));
        let mirror = Augmentation { flip_probability: 1.0, ..still() };
        let mirrored = warped(&vary(&pixels, (64, 64), &mirror, None, &mut generator(1, 0, 0)).unwrap());
        for (row, original) in mirrored.chunks(64).zip(pixels.chunks(64)) {
            assert!(row.iter().zip(original.iter().rev()).all(|(a, b)| (a - f32::from(*b)).abs() < 1e-2));
        }
    }

    #[test]
    fn variation_follows_from_seed_epoch_and_sample_alone() {
        let config = Augmentation {
            resample_probability: 1.0,
            resample_factor: 0.6,
            jpeg_probability: 1.0,
            rotation_degrees: 10.0,
            ..still()
        };
        let vary = |seed, epoch, sample| {
            vary(&phantom(), (64, 64), &config, None, &mut generator(seed, epoch, sample)).unwrap()
        };
        assert_eq!(vary(42, 3, 7), vary(42, 3, 7));
        for other in [vary(43, 3, 7), vary(42, 4, 7), vary(42, 3, 8)] {
            assert_ne!(vary(42, 3, 7), other);
        }
    }
}
