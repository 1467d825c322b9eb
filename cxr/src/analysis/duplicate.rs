//! Near duplicates: one radiograph stored twice, recompressed or resized. A perceptual hash finds candidates
//! among thousands of images. The correlation of fine detail then decides, because radiographs of different
//! patients in the same pose agree in everything coarse.
//!
//! Mirrored, rotated and cropped copies are not recognised.

use std::f64::consts::PI;

/// Side of the image that is hashed.
const HASH_SIDE: usize = 32;
/// Frequencies per axis that are hashed, from 1: the mean level carries no information.
const FREQUENCIES: usize = 8;
/// Side of the image whose detail is compared.
const DETAIL_SIDE: usize = 56;
/// Radius of the box whose mean is subtracted: coarser structure shows the pose, not the patient.
const DETAIL_RADIUS: usize = 2;

/// pHash (Zauner 2010): for 64 low frequencies of a discrete cosine transform, one bit whether the
/// coefficient is above their median.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PerceptualHash(u64);

impl PerceptualHash {
    /// Hashes row-major grey pixels; `None` unless both sides have at least 32 pixels.
    pub fn of(pixels: &[u8], width: usize) -> Option<Self> {
        let small = shrink(pixels, width, HASH_SIDE)?;
        let cosine: [[f64; HASH_SIDE]; FREQUENCIES] = std::array::from_fn(|k| {
            std::array::from_fn(|x| (PI * (x as f64 + 0.5) * (k + 1) as f64 / HASH_SIDE as f64).cos())
        });
        // Rows, then columns.
        let transformed: Vec<[f64; FREQUENCIES]> = small
            .chunks_exact(HASH_SIDE)
            .map(|row| cosine.map(|wave| wave.iter().zip(row).map(|(c, level)| c * level).sum()))
            .collect();
        let coefficients: Vec<f64> = (0..FREQUENCIES * FREQUENCIES)
            .map(|at| {
                let wave = &cosine[at / FREQUENCIES];
                wave.iter().zip(&transformed).map(|(c, row)| c * row[at % FREQUENCIES]).sum()
            })
            .collect();
        let mut sorted = coefficients.clone();
        sorted.sort_by(f64::total_cmp);
        let median = f64::midpoint(sorted[31], sorted[32]);
        let bit = |(at, coefficient): (usize, &f64)| u64::from(*coefficient > median) << at;
        Some(Self(coefficients.iter().enumerate().map(bit).sum()))
    }

    /// Hamming distance, 0 to 64.
    pub const fn distance(self, other: Self) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

/// Fine detail of an image: 56 x 56 levels minus their local mean, standardised.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail(Vec<i8>);

impl Detail {
    /// Extracts the detail of row-major grey pixels; `None` unless both sides have at least 56 pixels.
    pub fn of(pixels: &[u8], width: usize) -> Option<Self> {
        let small = shrink(pixels, width, DETAIL_SIDE)?;
        let fine: Vec<f64> = (0..small.len()).map(|at| small[at] - local_mean(&small, at)).collect();
        let n = fine.len() as f64;
        let mean = fine.iter().sum::<f64>() / n;
        let deviation = (fine.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-6);
        // 25 steps per standard deviation: `i8` covers five deviations either way.
        let step = |value: &f64| ((value - mean) / deviation * 25.0).round().clamp(-127.0, 127.0) as i8;
        Some(Self(fine.iter().map(step).collect()))
    }

    /// Pearson correlation; 0 if one image is flat.
    pub fn correlation(&self, other: &Self) -> f64 {
        let product = |a: &[i8], b: &[i8]| {
            a.iter().zip(b).map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b))).sum::<i64>() as f64
        };
        let lengths = (product(&self.0, &self.0) * product(&other.0, &other.0)).sqrt();
        if lengths > 0.0 { product(&self.0, &other.0) / lengths } else { 0.0 }
    }
}

fn local_mean(levels: &[f64], at: usize) -> f64 {
    let range =
        |centre: usize| centre.saturating_sub(DETAIL_RADIUS)..(centre + DETAIL_RADIUS + 1).min(DETAIL_SIDE);
    let (columns, rows) = (range(at % DETAIL_SIDE), range(at / DETAIL_SIDE));
    let n = columns.len() * rows.len();
    rows.flat_map(|y| &levels[y * DETAIL_SIDE..][columns.clone()]).sum::<f64>() / n as f64
}

/// Box means on a `side` x `side` grid.
fn shrink(pixels: &[u8], width: usize, side: usize) -> Option<Vec<f64>> {
    if width < side || !pixels.len().is_multiple_of(width) || pixels.len() / width < side {
        return None;
    }
    let height = pixels.len() / width;
    let range = |i: usize, whole: usize| i * whole / side..(i + 1) * whole / side;
    let mean = |at: usize| {
        let (columns, rows) = (range(at % side, width), range(at / side, height));
        let n = columns.len() * rows.len();
        let sum: u64 =
            rows.flat_map(|y| &pixels[y * width..][columns.clone()]).map(|level| u64::from(*level)).sum();
        sum as f64 / n as f64
    };
    Some((0..side * side).map(mean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{PhantomSpec, generate};

    const SIDE: usize = 112;

    fn phantom(seed: u64) -> Vec<u8> {
        generate(&PhantomSpec {
            seed,
            width: SIDE as u32,
            height: SIDE as u32,
            opacity: seed.is_multiple_of(2),
        })
    }

    #[test]
    fn exposure_and_contrast_change_neither_hash_nor_detail_much() {
        for seed in 0..8 {
            let image = phantom(seed);
            let other: Vec<u8> = image.iter().map(|level| level / 2 + 40).collect();
            let hash = |pixels: &[u8]| PerceptualHash::of(pixels, SIDE).unwrap();
            let detail = |pixels: &[u8]| Detail::of(pixels, SIDE).unwrap();
            assert!(hash(&image).distance(hash(&other)) <= 4);
            assert!(detail(&image).correlation(&detail(&other)) > 0.95);
            assert!((detail(&image).correlation(&detail(&image)) - 1.0).abs() < 1e-12);
            assert!(detail(&image).correlation(&detail(&phantom(seed + 100))) < 0.8, "another patient");
        }
    }

    #[test]
    fn what_is_too_small_or_flat_has_no_answer() {
        assert_eq!(PerceptualHash::of(&[0; 31 * 40], 40), None);
        assert_eq!(Detail::of(&[0; 56 * 55], 55), None);
        let flat = Detail::of(&[7; 56 * 56], 56).unwrap();
        assert!(flat.correlation(&flat).abs() < 1e-12);
    }
}
