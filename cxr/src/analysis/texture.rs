//! Edge and texture figures of an image at the model's size, which a data audit compares between classes.
//! They are not part of audit rows; drift monitoring uses `statistics`.

use serde::{Deserialize, Serialize};

/// Grey levels per step of the co-occurrence counts: 64 steps for 256 levels.
const LEVELS_PER_STEP: i32 = 4;

/// Texture figures of 8-bit grey pixels. All grow with detail except `homogeneity`, which falls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texture {
    /// Mean squared Sobel gradient over white squared (Tenengrad, Krotkov 1988).
    pub gradient_energy: f64,
    /// Variance of the four-neighbour Laplacian over white squared (Pech-Pacheco et al. 2000).
    pub laplacian_variance: f64,
    /// Inverse difference moment of the grey-level co-occurrence of horizontal and vertical neighbours at 64
    /// levels (Haralick et al. 1973): 1 for a flat image.
    pub homogeneity: f64,
    /// Entropy in bits of rotation-invariant uniform local binary patterns, 8 neighbours at radius 1, ten
    /// patterns (Ojala et al. 2002).
    pub pattern_entropy_bits: f64,
}

impl Texture {
    /// Names in the order of [`values`](Self::values).
    pub const NAMES: [&'static str; 4] =
        ["gradient_energy", "laplacian_variance", "homogeneity", "pattern_entropy_bits"];

    /// The values, in the order of [`NAMES`](Self::NAMES).
    pub const fn values(&self) -> [f64; 4] {
        [self.gradient_energy, self.laplacian_variance, self.homogeneity, self.pattern_entropy_bits]
    }

    /// Measures row-major grey `pixels`. `None` for fewer than three rows or columns, or an incomplete row.
    pub fn of(pixels: &[u8], width: usize) -> Option<Self> {
        if width < 3 || !pixels.len().is_multiple_of(width) || pixels.len() / width < 3 {
            return None;
        }
        let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
        let (mut energy, mut laplacian, mut laplacian_squared) = (0.0, 0.0, 0.0);
        let mut patterns = [0u64; 10];
        for window in rows.windows(3) {
            for x in 1..width - 1 {
                let at = |row: usize, column: usize| i32::from(window[row][column]);
                // Clockwise from the upper left.
                let ring = [
                    at(0, x - 1),
                    at(0, x),
                    at(0, x + 1),
                    at(1, x + 1),
                    at(2, x + 1),
                    at(2, x),
                    at(2, x - 1),
                    at(1, x - 1),
                ];
                let across = ring[2] + 2 * ring[3] + ring[4] - ring[0] - 2 * ring[7] - ring[6];
                let down = ring[6] + 2 * ring[5] + ring[4] - ring[0] - 2 * ring[1] - ring[2];
                energy += f64::from(across * across + down * down);
                let curvature = f64::from(ring[1] + ring[3] + ring[5] + ring[7] - 4 * at(1, x));
                laplacian += curvature;
                laplacian_squared += curvature * curvature;
                patterns[pattern(&ring, at(1, x))] += 1;
            }
        }
        let n = ((width - 2) * (rows.len() - 2)) as f64;
        let white_squared = 255.0 * 255.0;
        Some(Self {
            gradient_energy: energy / n / white_squared,
            laplacian_variance: (laplacian_squared / n - (laplacian / n).powi(2)).max(0.0) / white_squared,
            homogeneity: homogeneity(&rows),
            pattern_entropy_bits: entropy_bits(&patterns, n),
        })
    }
}

/// Number of neighbours that are not darker, if the ring changes at most twice; else 9.
fn pattern(ring: &[i32; 8], centre: i32) -> usize {
    let brighter = ring.map(|level| level >= centre);
    let changes = (0..8).filter(|i| brighter[*i] != brighter[(i + 1) % 8]).count();
    if changes <= 2 { brighter.iter().filter(|b| **b).count() } else { 9 }
}

fn homogeneity(rows: &[&[u8]]) -> f64 {
    let step = |level: u8| i32::from(level) / LEVELS_PER_STEP;
    let closeness = |a: u8, b: u8| 1.0 / (1.0 + f64::from((step(a) - step(b)).pow(2)));
    let across = rows.iter().flat_map(|row| row.windows(2).map(|w| closeness(w[0], w[1])));
    let down = rows.windows(2).flat_map(|w| w[0].iter().zip(w[1]).map(|(a, b)| closeness(*a, *b)));
    let (sum, n) = across.chain(down).fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    sum / n as f64
}

fn entropy_bits(counts: &[u64], n: f64) -> f64 {
    counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / n).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_has_none_and_a_ramp_has_what_its_slope_says() {
        let flat = Texture::of(&[90; 64], 8).unwrap();
        assert_eq!(flat.values(), [0.0, 0.0, 1.0, 0.0]);
        // A slope of 10 levels per column: the Sobel gradient is 8 times that, the Laplacian vanishes.
        let ramp: Vec<u8> = (0..64).map(|i| (i % 8 * 10) as u8).collect();
        let ramp = Texture::of(&ramp, 8).unwrap();
        assert!((ramp.gradient_energy - (80.0f64 / 255.0).powi(2)).abs() < 1e-12);
        assert!(ramp.laplacian_variance.abs() < 1e-12 && ramp.homogeneity < 1.0);
        assert!(ramp.pattern_entropy_bits.abs() < 1e-12, "one pattern everywhere");
    }

    #[test]
    fn noise_raises_every_figure_of_detail_and_what_is_no_image_has_no_texture() {
        let noise: Vec<u8> = (0..64u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let noise = Texture::of(&noise, 8).unwrap();
        assert!(noise.gradient_energy > 0.1 && noise.laplacian_variance > 0.1);
        assert!(noise.homogeneity < 0.3 && noise.pattern_entropy_bits > 2.0);
        assert_eq!(Texture::of(&[0; 63], 8), None);
        assert_eq!(Texture::of(&[0; 16], 8), None);
    }
}
