//! Edges and texture of an image at the model's size.

use crate::histogram::count_bytes;
use std::num::Wrapping;

/// Bits that the co-occurrence counts drop: 64 steps for 256 levels.
const DROPPED_BITS: u32 = 2;
const WHITE_SQUARED: f64 = 255.0 * 255.0;

/// Texture figures of 8-bit grey pixels. All grow with detail except `homogeneity`, which falls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Texture {
    pub(super) gradient_energy: f64,
    pub(super) laplacian_variance: f64,
    pub(super) homogeneity: f64,
    pub(super) pattern_entropy_bits: f64,
}

impl Texture {
    /// Measures row-major grey `pixels`: at least three rows and columns, at most 2048.
    pub(super) fn of(pixels: &[u8], width: usize) -> Self {
        let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
        let (mut energy, mut laplacian, mut laplacian_squared) = (0u64, 0i64, 0u64);
        let mut patterns = Vec::with_capacity(pixels.len());
        for window in rows.windows(3) {
            let slopes = Slopes::of([window[0], window[1], window[2]]);
            energy += u64::from(slopes.energy.0 as u32);
            laplacian += i64::from(slopes.laplacian.0);
            laplacian_squared += u64::from(slopes.laplacian_squared.0 as u32);
            local_patterns([window[0], window[1], window[2]], &mut patterns);
        }
        let n = ((width - 2) * (rows.len() - 2)) as f64;
        let laplacian_mean = laplacian as f64 / n;
        let variance = laplacian_squared as f64 / n - laplacian_mean * laplacian_mean;
        Self {
            gradient_energy: energy as f64 / n / WHITE_SQUARED,
            laplacian_variance: variance.max(0.0) / WHITE_SQUARED,
            homogeneity: homogeneity(&rows),
            pattern_entropy_bits: pattern_entropy_bits(&patterns),
        }
    }
}

/// Sums over a row, without the checks for overflow that would keep the compiler from vectorising: 32 bits,
/// read as unsigned where a sum of squares, are enough for 2048 pixels.
#[derive(Default)]
struct Slopes {
    energy: Wrapping<i32>,
    laplacian: Wrapping<i32>,
    laplacian_squared: Wrapping<i32>,
}

impl Slopes {
    fn of([above, middle, below]: [&[u8]; 3]) -> Self {
        let mut sums = Self::default();
        for ((a, m), b) in above.windows(3).zip(middle.windows(3)).zip(below.windows(3)) {
            let [a, m, b] = [a, m, b]
                .map(|w| [Wrapping(i32::from(w[0])), Wrapping(i32::from(w[1])), Wrapping(i32::from(w[2]))]);
            let two = Wrapping(2);
            let across = a[2] + two * m[2] + b[2] - a[0] - two * m[0] - b[0];
            let down = b[0] + two * b[1] + b[2] - a[0] - two * a[1] - a[2];
            let curvature = a[1] + m[0] + m[2] + b[1] - Wrapping(4) * m[1];
            sums.energy += across * across + down * down;
            sums.laplacian += curvature;
            sums.laplacian_squared += curvature * curvature;
        }
        sums
    }
}

/// Appends a byte for each pixel of the middle row: a bit for each neighbour that is not darker, clockwise.
fn local_patterns([above, middle, below]: [&[u8]; 3], patterns: &mut Vec<u8>) {
    let rows = above.windows(3).zip(middle.windows(3)).zip(below.windows(3));
    patterns.extend(rows.map(|((a, m), b)| {
        let bit = |neighbour: u8, place: u32| u8::from(neighbour >= m[1]) << place;
        bit(a[0], 0)
            | bit(a[1], 1)
            | bit(a[2], 2)
            | bit(m[2], 3)
            | bit(b[2], 4)
            | bit(b[1], 5)
            | bit(b[0], 6)
            | bit(m[0], 7)
    }));
}

/// Number of neighbours that are not darker, if the ring changes at most twice; else 9.
const fn uniform_pattern(ring: u8) -> usize {
    let changes = (ring ^ ring.rotate_right(1)).count_ones();
    if changes <= 2 { ring.count_ones() as usize } else { 9 }
}

fn pattern_entropy_bits(patterns: &[u8]) -> f64 {
    let mut counts = [0u64; 10];
    for (ring, count) in (0u8..=255).zip(count_bytes(patterns)) {
        counts[uniform_pattern(ring)] += count;
    }
    let shares = counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / patterns.len() as f64);
    shares.map(|share| -share * share.log2()).sum()
}

fn homogeneity(rows: &[&[u8]]) -> f64 {
    let steps = |a: u8, b: u8| (a >> DROPPED_BITS).abs_diff(b >> DROPPED_BITS);
    let mut differences = Vec::with_capacity(2 * rows.len() * rows[0].len());
    for row in rows {
        differences.extend(row.iter().zip(&row[1..]).map(|(a, b)| steps(*a, *b)));
    }
    for pair in rows.windows(2) {
        differences.extend(pair[0].iter().zip(pair[1]).map(|(a, b)| steps(*a, *b)));
    }
    let closeness = |steps: usize| 1.0 / (1.0 + (steps * steps) as f64);
    let counts = count_bytes(&differences);
    let sum: f64 = counts.iter().enumerate().map(|(steps, count)| *count as f64 * closeness(steps)).sum();
    sum / differences.len() as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_has_none_and_a_ramp_has_what_its_slope_says() {
        let Texture { gradient_energy, laplacian_variance, homogeneity, pattern_entropy_bits } =
            Texture::of(&[90; 64], 8);
        let flat = [gradient_energy, laplacian_variance, homogeneity, pattern_entropy_bits];
        assert_eq!(flat, [0.0, 0.0, 1.0, 0.0]);
        // A slope of 10 levels per column: the Sobel gradient is 8 times that, the Laplacian vanishes.
        let ramp: Vec<u8> = (0..64).map(|i| (i % 8 * 10) as u8).collect();
        let ramp = Texture::of(&ramp, 8);
        assert!((ramp.gradient_energy - (80.0f64 / 255.0).powi(2)).abs() < 1e-12);
        assert!(ramp.laplacian_variance.abs() < 1e-12 && ramp.homogeneity < 1.0);
        assert!(ramp.pattern_entropy_bits.abs() < 1e-12, "one pattern everywhere");
    }

    #[test]
    fn noise_raises_every_figure_of_detail_and_the_widest_image_does_not_overflow() {
        let noise: Vec<u8> = (0..64u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let noise = Texture::of(&noise, 8);
        assert!(noise.gradient_energy > 0.1 && noise.laplacian_variance > 0.1);
        assert!(noise.homogeneity < 0.3 && noise.pattern_entropy_bits > 2.0);
        let board: Vec<u8> =
            (0..2048 * 3).map(|i| if (i % 2048 + i / 2048) % 2 == 0 { 255 } else { 0 }).collect();
        assert!(Texture::of(&board, 2048).laplacian_variance > 15.9);
    }
}
