//! Image regions that show no anatomy (border, corners, markers): filled, or swapped between images.

use crate::lettering;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Markers that technologists place.
const MARKERS: [&str; 6] = ["R", "L", "AP", "PORT", "ERECT", "SUPINE"];

/// A part of the image, given as shares of its sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// A frame of this width along every side.
    Border(f64),
    /// Everything except that frame.
    Centre(f64),
    /// Rectangles of this share of each side in the four corners.
    Corners(f64),
}

/// Whether the pixel in `column` and `row` lies in the region.
pub fn is_in(region: Region, (width, height): (u32, u32), column: u32, row: u32) -> bool {
    let edge = |share: f64, side: u32| (share * f64::from(side)).round() as u32;
    let near =
        |at: u32, side: u32, share: f64| at < edge(share, side) || at >= side - edge(share, side).min(side);
    match region {
        Region::Border(share) => near(column, width, share) || near(row, height, share),
        Region::Centre(share) => !(near(column, width, share) || near(row, height, share)),
        Region::Corners(share) => near(column, width, share) && near(row, height, share),
    }
}

/// Sets every pixel of the region to `level`.
pub fn fill(pixels: &mut [u8], size: (u32, u32), region: Region, level: u8) {
    for (position, pixel) in (0u32..).zip(pixels) {
        if is_in(region, size, position % size.0, position / size.0) {
            *pixel = level;
        }
    }
}

/// Copy of `pixels` with the region taken from `from`, an image of the same size.
pub fn swap_region(pixels: &[u8], from: &[u8], size: (u32, u32), region: Region) -> Vec<u8> {
    let pick = |(position, (own, other)): (u32, (&u8, &u8))| {
        if is_in(region, size, position % size.0, position / size.0) { *other } else { *own }
    };
    (0u32..).zip(pixels.iter().zip(from)).map(pick).collect()
}

/// Burns white markers into `n` randomly chosen corners, with letters `share` of the height.
pub(super) fn burn_in_markers(
    pixels: &mut [u8],
    size: (u32, u32),
    n: usize,
    share: f64,
    rng: &mut ChaCha8Rng,
) {
    let (width, height) = size;
    let scale = ((share * f64::from(height) / 7.0).round() as u32).max(1);
    let mut corners = [(false, false), (true, false), (false, true), (true, true)];
    corners.shuffle(rng);
    for (is_right, is_bottom) in corners.into_iter().take(n) {
        let text = MARKERS[rng.random_range(0..MARKERS.len())];
        let margin = (width.min(height) as f64 * rng.random_range(0.02..0.06)) as u32;
        let (columns, rows) = lettering::size(text, scale);
        let place = |is_far: bool, side: u32, length: u32| {
            if is_far { side.saturating_sub(length + margin) } else { margin }
        };
        let at = (place(is_right, width, columns), place(is_bottom, height, rows));
        lettering::draw(pixels, width, at, text, scale, u8::MAX);
    }
}
