//! Image corruptions of graded severity. Corruptions and the five severities follow Hendrycks and Dietterich
//! (2019), with what happens to radiographs (exposure, positioning, collimation, markers, archiving) instead
//! of weather.
//!
//! Input and output are 8-bit grey levels at the model's size. The random numbers depend on the seed, the
//! corruption and the image but not on the severity: the same noise grows stronger.

mod photometric;
mod region;
#[cfg(test)]
mod tests;
mod warp;

use region::burn_in_markers;
pub use region::{Region, fill, is_in, swap_region};
pub use warp::{shift, warp};

use crate::preprocess::jpeg_round_trip;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Highest severity. The lowest is 1; 0 leaves the image unchanged.
pub const MAX_SEVERITY: u8 = 5;

/// A kind of corruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corruption {
    /// Additive Gaussian noise, standard deviation 5, 10, 16, 24, 36 grey levels: a low dose.
    GaussianNoise,
    /// Gaussian blur, sigma 0.3, 0.5, 0.75, 1.0, 1.4 % of the width: motion or a soft detector.
    GaussianBlur,
    /// JPEG compression, quality 50, 30, 20, 12, 7: a low-quality archive.
    Jpeg,
    /// Contrast about the mean level, times 0.8, 0.65, 0.5, 0.35, 0.25: another window.
    Contrast,
    /// Brightness plus or minus 0.05, 0.1, 0.15, 0.22, 0.3 of white: another exposure.
    Brightness,
    /// Gamma `e^g` or `e^-g`, g = 0.2, 0.4, 0.6, 0.8, 1.0: another characteristic curve.
    Gamma,
    /// Downscaling to 0.7, 0.5, 0.35, 0.25, 0.18 of the size and back: a thumbnail.
    Resolution,
    /// Rotation by plus or minus 3, 6, 10, 15, 20 degrees, black outside.
    Rotation,
    /// Shift by 2, 5, 8, 12, 16 % of the side in a random direction, black outside.
    Translation,
    /// Black frame over the outer 2, 4, 7, 10, 14 % of each side: collimation.
    BlackBorder,
    /// White frame of the same widths: an inverted or scanned border.
    WhiteBorder,
    /// 1, 1, 2, 3, 4 markers in the corners, letters 4, 6, 8, 10, 12 % of the height.
    BurnedInText,
    /// One axis magnified by 1.08, 1.15, 1.25, 1.4, 1.6 and cropped: another aspect ratio before the squash.
    AspectRatio,
    /// Black corners, squares of 8, 12, 16, 20, 25 % of the side.
    CornerMask,
}

impl Corruption {
    /// Every corruption, in the order of reports.
    pub const ALL: [Self; 14] = [
        Self::GaussianNoise,
        Self::GaussianBlur,
        Self::Jpeg,
        Self::Contrast,
        Self::Brightness,
        Self::Gamma,
        Self::Resolution,
        Self::Rotation,
        Self::Translation,
        Self::BlackBorder,
        Self::WhiteBorder,
        Self::BurnedInText,
        Self::AspectRatio,
        Self::CornerMask,
    ];

    /// Name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GaussianNoise => "gaussian_noise",
            Self::GaussianBlur => "gaussian_blur",
            Self::Jpeg => "jpeg",
            Self::Contrast => "contrast",
            Self::Brightness => "brightness",
            Self::Gamma => "gamma",
            Self::Resolution => "resolution",
            Self::Rotation => "rotation",
            Self::Translation => "translation",
            Self::BlackBorder => "black_border",
            Self::WhiteBorder => "white_border",
            Self::BurnedInText => "burned_in_text",
            Self::AspectRatio => "aspect_ratio",
            Self::CornerMask => "corner_mask",
        }
    }

    /// Strength at a severity from 1 on, in the unit that the variant's documentation gives.
    pub const fn strength(self, severity: u8) -> f64 {
        let scale = match self {
            Self::GaussianNoise => [5.0, 10.0, 16.0, 24.0, 36.0],
            Self::GaussianBlur => [0.003, 0.005, 0.0075, 0.01, 0.014],
            Self::Jpeg => [50.0, 30.0, 20.0, 12.0, 7.0],
            Self::Contrast => [0.8, 0.65, 0.5, 0.35, 0.25],
            Self::Brightness => [0.05, 0.1, 0.15, 0.22, 0.3],
            Self::Gamma => [0.2, 0.4, 0.6, 0.8, 1.0],
            Self::Resolution => [0.7, 0.5, 0.35, 0.25, 0.18],
            Self::Rotation => [3.0, 6.0, 10.0, 15.0, 20.0],
            Self::Translation => [0.02, 0.05, 0.08, 0.12, 0.16],
            Self::BlackBorder | Self::WhiteBorder => [0.02, 0.04, 0.07, 0.1, 0.14],
            Self::BurnedInText => [0.04, 0.06, 0.08, 0.1, 0.12],
            Self::AspectRatio => [1.08, 1.15, 1.25, 1.4, 1.6],
            Self::CornerMask => [0.08, 0.12, 0.16, 0.2, 0.25],
        };
        let last = scale.len() - 1;
        let position = severity.saturating_sub(1) as usize;
        scale[if position < last { position } else { last }]
    }
}

/// Random number generator of one image under one corruption.
fn generator(seed: u64, corruption: Corruption, image: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((corruption as u64) << 40 | image as u64);
    rng
}

/// Corrupts image number `image`: row-major, `size` columns and rows. Severity 0 returns the image unchanged;
/// a severity above [`MAX_SEVERITY`] counts as [`MAX_SEVERITY`].
pub fn corrupt(
    pixels: &[u8],
    size: (u32, u32),
    corruption: Corruption,
    severity: u8,
    seed: u64,
    image: usize,
) -> Vec<u8> {
    if severity == 0 {
        return pixels.to_vec();
    }
    let mut rng = generator(seed, corruption, image);
    let strength = corruption.strength(severity);
    let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let framed = |region: Region, level: u8| {
        let mut pixels = pixels.to_vec();
        fill(&mut pixels, size, region, level);
        pixels
    };
    match corruption {
        Corruption::GaussianNoise => photometric::add_noise(pixels, strength, &mut rng),
        Corruption::GaussianBlur => photometric::blur(pixels, size, strength * f64::from(size.0)),
        Corruption::Jpeg => jpeg_round_trip(pixels, size.0, size.1, strength as u8),
        Corruption::Contrast => photometric::contrast(pixels, strength),
        Corruption::Brightness => photometric::map_levels(pixels, |level| level + sign * strength),
        Corruption::Gamma => {
            let gamma = (sign * strength).exp();
            photometric::map_levels(pixels, |level| level.powf(gamma))
        }
        Corruption::Resolution => photometric::through_thumbnail(pixels, size, strength),
        Corruption::Rotation => warp::rotate(pixels, size, sign * strength),
        Corruption::Translation => {
            let direction = rng.random_range(0.0..std::f64::consts::TAU);
            shift(pixels, size, strength * direction.cos(), strength * direction.sin())
        }
        Corruption::BlackBorder => framed(Region::Border(strength), 0),
        Corruption::WhiteBorder => framed(Region::Border(strength), u8::MAX),
        Corruption::BurnedInText => {
            let mut pixels = pixels.to_vec();
            let n_markers = usize::from(severity.clamp(2, MAX_SEVERITY) - 1);
            burn_in_markers(&mut pixels, size, n_markers, strength, &mut rng);
            pixels
        }
        Corruption::AspectRatio => {
            let kept = 1.0 / strength;
            let (x, y) = if sign > 0.0 { (kept, 1.0) } else { (1.0, kept) };
            warp(pixels, size, &[x, 0.0, 0.0, 0.0, y, 0.0])
        }
        Corruption::CornerMask => framed(Region::Corners(strength), 0),
    }
}
