//! Resize of byte samples: bit-identical to the 16-bit resize of the same image, in a third of the time.
//!
//! Most pixels are decided by a sum in `f32` with a bounded error. If the bound crosses the border between
//! two grey levels, the pixel is computed again in the integers of the 16-bit resize.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the wider vectors")]

use super::taps::{Axis, LANES, Taps};
use crate::preprocess::Geometry;

/// Columns that are summed vertically at a time: as many as the vector registers hold.
const COLUMNS: usize = 64;
/// 16-bit steps per 8-bit level.
const STEPS: i64 = 257;

/// Resizes samples (0 black to 255 white) at the original's size into the image's position in `pixels`, the
/// model's input. `sums` is a buffer.
pub(super) fn resize(samples: &[u8], geometry: &Geometry, sums: &mut Vec<f32>, pixels: &mut [u8]) {
    let (width, height) = (geometry.original.0 as usize, geometry.original.1 as usize);
    let across = Axis::new(width, geometry.size.0 as usize);
    let down = Axis::new(height, geometry.size.1 as usize);
    let source = Source { samples, width, across: &across, down: &down };
    let margin = f32_margin(&across, &down);
    sums.clear();
    sums.resize(width + across.padded(), 0.0);
    let (left, top) = (geometry.offset.0 as usize, geometry.offset.1 as usize);
    let rows = pixels.chunks_exact_mut(geometry.input.0 as usize).skip(top).take(down.len());
    for (y, row) in rows.enumerate() {
        source.row(y, margin, sums, &mut row[left..left + across.len()]);
    }
}

/// Largest difference, in grey levels, between a sum in `f32` and the value that the 16-bit resize rounds:
/// half a 16-bit step for each of its two roundings, and one `f32` rounding (2^-24 of at most 255) for every
/// weight, product and sum.
fn f32_margin(across: &Axis, down: &Axis) -> f32 {
    let n_roundings = (across.padded() + down.padded() + 2 * LANES) as f32;
    1.0 / STEPS as f32 + n_roundings * 2.0 * 255.0 / 16_777_216.0
}

struct Source<'a> {
    samples: &'a [u8],
    width: usize,
    across: &'a Axis,
    down: &'a Axis,
}

impl Source<'_> {
    fn row(&self, y: usize, margin: f32, sums: &mut [f32], pixels: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions.
            unsafe { self.row_avx2(y, margin, sums, pixels) };
            return;
        }
        self.row_portable(y, margin, sums, pixels);
    }

    /// The portable code, compiled for vectors of eight.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn row_avx2(&self, y: usize, margin: f32, sums: &mut [f32], pixels: &mut [u8]) {
        self.row_portable(y, margin, sums, pixels);
    }

    #[inline(always)]
    fn row_portable(&self, y: usize, margin: f32, sums: &mut [f32], pixels: &mut [u8]) {
        self.sum_down(self.down.taps(y), sums);
        for (x, pixel) in pixels.iter_mut().enumerate() {
            let level = sum_across(self.across.taps(x), sums);
            let whole = level as i32;
            let above_border = level - whole as f32 - 0.5;
            *pixel = if above_border.abs() > margin {
                (whole + i32::from(above_border > 0.0)) as u8
            } else {
                self.exact(x, y)
            };
        }
    }

    #[inline(always)]
    fn sum_down(&self, taps: Taps<'_>, sums: &mut [f32]) {
        let rows = || self.samples.chunks_exact(self.width).skip(taps.start).zip(taps.weights);
        let (blocks, rest) = sums[..self.width].as_chunks_mut::<COLUMNS>();
        for (index, block) in blocks.iter_mut().enumerate() {
            let mut sum = [0.0; COLUMNS];
            for (row, weight) in rows() {
                let row = &row[index * COLUMNS..][..COLUMNS];
                for (sum, sample) in sum.iter_mut().zip(row) {
                    *sum += weight * f32::from(*sample);
                }
            }
            *block = sum;
        }
        rest.fill(0.0);
        let done = self.width - rest.len();
        for (row, weight) in rows() {
            for (sum, sample) in rest.iter_mut().zip(&row[done..]) {
                *sum += weight * f32::from(*sample);
            }
        }
    }

    /// With the integers and the order of the 16-bit resize: horizontally, rounded to 16 bits, then
    /// vertically.
    #[cold]
    fn exact(&self, x: usize, y: usize) -> u8 {
        let (across, down) = (self.across.taps(x), self.down.taps(y));
        let rows = self.samples.chunks_exact(self.width).skip(down.start);
        let sum: i64 = rows
            .zip(down.fixed)
            .map(|(row, weight)| {
                let sum: i64 =
                    row[across.start..].iter().zip(across.fixed).map(|(s, w)| i64::from(*s) * w).sum();
                self.across.rounded(STEPS * sum) * weight
            })
            .sum();
        ((self.down.rounded(sum) + STEPS / 2) / STEPS) as u8
    }
}

#[inline(always)]
fn sum_across(taps: Taps<'_>, levels: &[f32]) -> f32 {
    let mut sum = [0.0; LANES];
    let levels = &levels[taps.start..][..taps.padded.len()];
    for (weights, levels) in taps.padded.as_chunks::<LANES>().0.iter().zip(levels.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sum[lane] += weights[lane] * levels[lane];
        }
    }
    let [a, b, c, d, e, f, g, h] = sum;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
