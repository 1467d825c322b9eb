//! The corruptions: what happens to radiographs on their way, at five severities (after Hendrycks and Dietterich 2019).
//! Everything random follows from the seed, the corruption and the image.

use crate::dataset::augment::{self, Detail, Marks, Raw, Tone, Variation, generator};
use crate::dataset::pixels::Pixels;
use anyhow::Result;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// What is done to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corruption {
    /// Gaussian noise.
    Noise,
    /// Gaussian blur.
    Blur,
    /// JPEG at low quality.
    Jpeg,
    /// Contrast about mid grey, lowered.
    Contrast,
    /// Brighter or darker.
    Brightness,
    /// Gamma, either way.
    Gamma,
    /// Shrunk and enlarged again.
    Resolution,
    /// Rotated, either way.
    Rotation,
    /// Moved.
    Translation,
    /// Stretched or squeezed.
    Aspect,
    /// A black or white frame.
    Border,
    /// Burned-in letters.
    Letters,
}

impl Corruption {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 12] = [
        Self::Noise,
        Self::Blur,
        Self::Jpeg,
        Self::Contrast,
        Self::Brightness,
        Self::Gamma,
        Self::Resolution,
        Self::Rotation,
        Self::Translation,
        Self::Aspect,
        Self::Border,
        Self::Letters,
    ];

    /// The name used in files and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Blur => "blur",
            Self::Jpeg => "jpeg",
            Self::Contrast => "contrast",
            Self::Brightness => "brightness",
            Self::Gamma => "gamma",
            Self::Resolution => "resolution",
            Self::Rotation => "rotation",
            Self::Translation => "translation",
            Self::Aspect => "aspect",
            Self::Border => "border",
            Self::Letters => "letters",
        }
    }

    /// What the severities 1 to 5 mean.
    pub const fn levels(self) -> [f64; 5] {
        match self {
            Self::Noise => [0.02, 0.04, 0.06, 0.09, 0.13],
            Self::Blur => [0.5, 1.0, 1.5, 2.2, 3.0],
            Self::Jpeg => [60.0, 40.0, 25.0, 15.0, 8.0],
            Self::Contrast => [0.85, 0.7, 0.55, 0.4, 0.3],
            Self::Brightness => [0.05, 0.1, 0.15, 0.2, 0.3],
            Self::Gamma => [0.2, 0.4, 0.6, 0.8, 1.0],
            Self::Resolution => [0.7, 0.5, 0.36, 0.25, 0.18],
            Self::Rotation => [4.0, 8.0, 12.0, 16.0, 20.0],
            Self::Translation => [0.04, 0.08, 0.12, 0.16, 0.2],
            Self::Aspect => [0.1, 0.2, 0.3, 0.4, 0.5],
            Self::Border => [0.02, 0.04, 0.06, 0.09, 0.12],
            Self::Letters => [1.0, 2.0, 3.0, 4.0, 6.0],
        }
    }

    /// The unit of [`levels`](Self::levels).
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Noise => "standard deviation, share of white",
            Self::Blur => "standard deviation, pixels",
            Self::Jpeg => "quality",
            Self::Contrast => "factor",
            Self::Brightness => "added level, share of white",
            Self::Gamma => "logarithm of the exponent",
            Self::Resolution => "share of the side that is kept",
            Self::Rotation => "degrees",
            Self::Translation => "share of the side, both ways",
            Self::Aspect => "logarithm of width over height",
            Self::Border => "width, share of the side",
            Self::Letters => "marks",
        }
    }
}

/// An image of a batch: its number decides what is random about it.
fn variation(corruption: Corruption, level: f64, rng: &mut ChaCha8Rng) -> Variation {
    let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let mut varied = Variation::none(rng.random());
    match corruption {
        Corruption::Noise => varied.noise.0 = level,
        Corruption::Blur => varied.detail = Some(Detail { sigma: level, gain: 0.0 }),
        Corruption::Jpeg => varied.jpeg_quality = Some(level as u8),
        Corruption::Contrast => varied.tone = Tone { contrast: level, ..varied.tone },
        Corruption::Brightness => varied.tone = Tone { brightness: sign * level, ..varied.tone },
        Corruption::Gamma => varied.tone = Tone { gamma: (sign * level).exp(), ..varied.tone },
        Corruption::Rotation => {
            let (sin, cos) = (sign * level).to_radians().sin_cos();
            varied.affine = [cos, -sin, 0.0, sin, cos, 0.0];
        }
        Corruption::Translation => {
            let other = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
            varied.affine = [1.0, 0.0, 2.0 * sign * level, 0.0, 1.0, 2.0 * other * level];
        }
        Corruption::Aspect => {
            let stretch = (sign * level / 2.0).exp();
            varied.affine = [1.0 / stretch, 0.0, 0.0, 0.0, stretch, 0.0];
        }
        Corruption::Letters => varied.marks = Marks { letters: level as u32, ..varied.marks },
        Corruption::Resolution | Corruption::Border => {}
    }
    varied
}

/// The images at these positions, corrupted: whole grey levels, float32 `[N, 1, H, W]`.
///
/// # Errors
/// When a tensor cannot be made.
pub fn corrupted(
    pixels: &Pixels,
    positions: &[usize],
    (corruption, severity): (Corruption, usize),
    seed: u64,
    device: Device,
) -> Result<Tensor> {
    let level = corruption.levels()[severity - 1];
    // Another stream for every corruption; the image's position takes the sample's place.
    let stream = 1_000_000 + corruption as usize;
    let variations: Vec<Variation> =
        positions.iter().map(|i| variation(corruption, level, &mut generator(seed, stream, *i))).collect();
    let raw = Raw::gather(pixels, positions, variations);
    let images = augment::apply(&raw, device);
    Ok(match corruption {
        Corruption::Resolution => resolution(&images, level),
        Corruption::Border => border(&images, level, positions, seed),
        _ => images,
    })
}

fn resolution(images: &Tensor, share: f64) -> Tensor {
    let size = [images.size()[2], images.size()[3]];
    let small = size.map(|side| ((side as f64 * share).round() as i64).max(1));
    images
        .internal_upsample_bilinear2d_aa(small, false, None, None)
        .upsample_bilinear2d(size, false, None, None)
        .round()
        .clamp(0.0, 255.0)
}

fn border(images: &Tensor, share: f64, positions: &[usize], seed: u64) -> Tensor {
    let levels: Vec<f32> = positions
        .iter()
        .map(|i| if generator(seed, 2_000_000, *i).random_bool(0.5) { 0.0 } else { 255.0 })
        .collect();
    let levels = Tensor::from_slice(&levels).view([-1, 1, 1, 1]).to_device(images.device());
    levels.where_self(&frame(images, share), images)
}

/// True in a frame of `share` of the side on each edge, bool `[1, 1, H, W]`.
pub fn frame(images: &Tensor, share: f64) -> Tensor {
    let (height, width) = (images.size()[2], images.size()[3]);
    let inset = |side: i64| ((side as f64 * share).round() as i64).clamp(0, side / 2);
    let (down, across) = (inset(height), inset(width));
    let mask = Tensor::ones([1, 1, height, width], (Kind::Bool, images.device()));
    let _ = mask.narrow(2, down, height - 2 * down).narrow(3, across, width - 2 * across).fill_(0);
    mask
}

/// True in the four corners, squares of `share` of the side, bool `[1, 1, H, W]`.
pub fn corners(images: &Tensor, share: f64) -> Tensor {
    let (height, width) = (images.size()[2], images.size()[3]);
    let (down, across) = ((height as f64 * share).round() as i64, (width as f64 * share).round() as i64);
    let mask = Tensor::zeros([1, 1, height, width], (Kind::Bool, images.device()));
    for (y, x) in [(0, 0), (0, width - across), (height - down, 0), (height - down, width - across)] {
        let _ = mask.narrow(2, y, down).narrow(3, x, across).fill_(1);
    }
    mask
}
