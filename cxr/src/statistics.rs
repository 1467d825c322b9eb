//! Image statistics for drift monitoring. [`VERSION`] identifies their definition.

mod blockiness;
pub(crate) mod border;
mod letters;
mod texture;

use crate::image::DecodedImage;
use serde::{Deserialize, Serialize};
use texture::Texture;

/// Raised when the definition of a statistic changes; stored with the values in every audit row.
pub const VERSION: u16 = 2;

/// Statistics of an accepted image. Levels are windowed brightness, 0 black to 1 white. Rows of version 1
/// have the first eleven.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageStatistics {
    pub mean: f64,
    /// Standard deviation of the level.
    pub standard_deviation: f64,
    pub p01: f64,
    pub p50: f64,
    pub p99: f64,
    /// Shannon entropy of the 256-bin histogram, in bits.
    pub entropy_bits: f64,
    /// Share of pixels in the darkest of 256 bins.
    pub black_fraction: f64,
    /// Share of pixels in the brightest of 256 bins.
    pub white_fraction: f64,
    /// Mean absolute difference of neighbouring pixels at the model's size, before CLAHE.
    pub edge_strength: f64,
    /// Width over height.
    pub aspect_ratio: f64,
    /// Width times height, in millions.
    pub megapixels: f64,
    /// Widest black or white margin, as a share of the side perpendicular to it, at the model's size.
    pub border: f64,
    /// Strength of bright, sharply bounded marks such as letters in the outer part of the image, at the
    /// model's size: mean excess of steps between neighbours over 30 grey levels where one is at least 150.
    pub letters: f64,
    /// Strength of a JPEG file's 8 x 8 grid at the image's own size: `(b - i) / (b + i)` of the mean absolute
    /// differences of neighbours across the blocks' borders and inside the blocks.
    pub blockiness: f64,
    /// Mean squared Sobel gradient over white squared (Tenengrad, Krotkov 1988), at the model's size.
    pub gradient_energy: f64,
    /// Variance of the four-neighbour Laplacian over white squared (Pech-Pacheco et al. 2000), at the model's
    /// size.
    pub laplacian_variance: f64,
    /// Inverse difference moment of the grey-level co-occurrence of horizontal and vertical neighbours at 64
    /// levels (Haralick et al. 1973), at the model's size: 1 for a flat image.
    pub homogeneity: f64,
    /// Entropy in bits of rotation-invariant uniform local binary patterns, 8 neighbours at radius 1, ten
    /// patterns (Ojala et al. 2002), at the model's size.
    pub pattern_entropy_bits: f64,
}

impl ImageStatistics {
    /// What only the image's own file shows, not a copy that was resized to the model's size.
    pub const OF_THE_FILE: [&'static str; 3] = ["aspect_ratio", "megapixels", "blockiness"];

    /// Names in the order of [`values`](Self::values).
    pub const NAMES: [&'static str; 18] = [
        "mean",
        "standard_deviation",
        "p01",
        "p50",
        "p99",
        "entropy_bits",
        "black_fraction",
        "white_fraction",
        "edge_strength",
        "aspect_ratio",
        "megapixels",
        "border",
        "letters",
        "blockiness",
        "gradient_energy",
        "laplacian_variance",
        "homogeneity",
        "pattern_entropy_bits",
    ];

    /// The values, in the order of [`NAMES`](Self::NAMES).
    pub const fn values(&self) -> [f64; 18] {
        [
            self.mean,
            self.standard_deviation,
            self.p01,
            self.p50,
            self.p99,
            self.entropy_bits,
            self.black_fraction,
            self.white_fraction,
            self.edge_strength,
            self.aspect_ratio,
            self.megapixels,
            self.border,
            self.letters,
            self.blockiness,
            self.gradient_energy,
            self.laplacian_variance,
            self.homogeneity,
            self.pattern_entropy_bits,
        ]
    }

    /// `histogram` counts the windowed levels, `image` is the original, `model_pixels` is the image at the
    /// model's size before it is stored as JPEG and before CLAHE.
    pub(crate) fn new(
        histogram: &[u64; 256],
        image: &DecodedImage,
        model_pixels: &[u8],
        model_width: u32,
    ) -> Self {
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let columns = model_width as usize;
        let texture = Texture::of(model_pixels, columns);
        let n: u64 = histogram.iter().sum();
        let share = |count: u64| count as f64 / n as f64;
        let level = |bin: usize| bin as f64 / 255.0;
        let moment = |power: i32| {
            histogram.iter().enumerate().map(|(b, c)| share(*c) * level(b).powi(power)).sum::<f64>()
        };
        let mean = moment(1);
        let quantile = |q: f64| {
            let rank = (q * n as f64).ceil().max(1.0) as u64;
            let mut seen = 0;
            level(
                histogram
                    .iter()
                    .position(|c| {
                        seen += c;
                        seen >= rank
                    })
                    .unwrap_or(255),
            )
        };
        let entropy = histogram.iter().filter(|c| **c > 0).map(|c| -share(*c) * share(*c).log2()).sum();
        Self {
            mean,
            standard_deviation: (moment(2) - mean * mean).max(0.0).sqrt(),
            p01: quantile(0.01),
            p50: quantile(0.5),
            p99: quantile(0.99),
            entropy_bits: entropy,
            black_fraction: share(histogram[0]),
            white_fraction: share(histogram[255]),
            edge_strength: edge_strength(model_pixels, columns),
            aspect_ratio: width / height,
            megapixels: width * height / 1e6,
            border: border::black(model_pixels, columns).max(border::white(model_pixels, columns)),
            letters: letters::strength(model_pixels, columns),
            blockiness: blockiness::blockiness(image),
            gradient_energy: texture.gradient_energy,
            laplacian_variance: texture.laplacian_variance,
            homogeneity: texture.homogeneity,
            pattern_entropy_bits: texture.pattern_entropy_bits,
        }
    }
}

fn edge_strength(pixels: &[u8], width: usize) -> f64 {
    let (mut sum, mut n) = (0u64, 0u64);
    let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
    for (y, row) in rows.iter().enumerate() {
        let across = row.windows(2).map(|w| u64::from(w[0].abs_diff(w[1])));
        sum += across.sum::<u64>();
        n += row.len() as u64 - 1;
        if let Some(next) = rows.get(y + 1) {
            sum += row.iter().zip(*next).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
            n += row.len() as u64;
        }
    }
    sum as f64 / n.max(1) as f64 / 255.0
}
