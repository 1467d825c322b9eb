//! Screens for borders, burned-in text and extreme exposure. They are coarse and only count candidates for a
//! data audit; `validate` rejects images.

use crate::statistics::{ImageStatistics, border};
use serde::{Deserialize, Serialize};

/// An image counts as bordered from this share of a side on.
const BORDER_WIDTH: f64 = 0.02;
/// Least difference between a mark and the mean around it, in grey levels.
const MARK_CONTRAST: f64 = 60.0;
/// Least grey level of a mark.
const MARK_LEVEL: u8 = 150;
/// Half the side of the box around a pixel that it is compared with, as a share of the image's shorter side.
const SURROUNDINGS: f64 = 0.06;

/// Findings of the screens in one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefacts {
    /// Widest black margin, as a share of the side perpendicular to it.
    pub black_border: f64,
    /// Widest white margin, likewise.
    pub white_border: f64,
    /// Number of letter-like marks: bright, sharply bounded, small, in the outer part of the image.
    pub marks: usize,
    /// Nearly all dark, nearly all bright, clipped, or without contrast.
    pub extreme_exposure: bool,
}

impl Artefacts {
    /// Screens row-major grey `pixels` at the model's size; `statistics` are those of the same image.
    pub fn of(pixels: &[u8], width: usize, statistics: &ImageStatistics) -> Self {
        let rows: Vec<&[u8]> = pixels.chunks_exact(width.max(1)).collect();
        let s = statistics;
        Self {
            black_border: border::black(pixels, width),
            white_border: border::white(pixels, width),
            marks: marks(&rows),
            extreme_exposure: s.mean < 0.15
                || s.mean > 0.85
                || s.white_fraction > 0.15
                || s.p99 - s.p01 < 0.3,
        }
    }

    /// Whether a black or white margin takes up at least 2 % of a side.
    pub fn is_bordered(&self) -> bool {
        self.black_border.max(self.white_border) >= BORDER_WIDTH
    }
}

/// Number of connected regions (8 neighbours) that are brighter than their surroundings and have a letter's
/// size and shape.
fn marks(rows: &[&[u8]]) -> usize {
    let (height, width) = (rows.len(), rows.first().map_or(0, |row| row.len()));
    let radius = ((width.min(height) as f64 * SURROUNDINGS).round() as usize).max(2);
    let sums = integral(rows, width);
    let mut open: Vec<bool> = (0..width * height)
        .map(|at| {
            let (x, y) = (at % width, at / width);
            let (left, right) = (x.saturating_sub(radius), (x + radius + 1).min(width));
            let (top, bottom) = (y.saturating_sub(radius), (y + radius + 1).min(height));
            let sum = sums[bottom][right] + sums[top][left] - sums[top][right] - sums[bottom][left];
            let mean = sum as f64 / ((right - left) * (bottom - top)) as f64;
            rows[y][x] >= MARK_LEVEL && f64::from(rows[y][x]) - mean >= MARK_CONTRAST
        })
        .collect();
    let mut n = 0;
    for start in 0..open.len() {
        if open[start] {
            n += usize::from(Region::flood(&mut open, start, width, height).is_letter(width, height));
        }
    }
    n
}

/// Summed-area table, with one row and one column more than the image.
fn integral(rows: &[&[u8]], width: usize) -> Vec<Vec<u64>> {
    let mut sums = vec![vec![0; width + 1]];
    for row in rows {
        let above = &sums[sums.len() - 1];
        let mut next = vec![0; width + 1];
        let mut so_far = 0;
        for (x, level) in row.iter().enumerate() {
            so_far += u64::from(*level);
            next[x + 1] = above[x + 1] + so_far;
        }
        sums.push(next);
    }
    sums
}

struct Region {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
    n: usize,
}

impl Region {
    /// Flood-fills the region around `start` and clears its pixels in `open`.
    fn flood(open: &mut [bool], start: usize, width: usize, height: usize) -> Self {
        let (x, y) = (start % width, start / width);
        let mut region = Self { left: x, right: x, top: y, bottom: y, n: 0 };
        let mut waiting = vec![start];
        open[start] = false;
        while let Some(at) = waiting.pop() {
            let (x, y) = (at % width, at / width);
            region.n += 1;
            region.left = region.left.min(x);
            region.right = region.right.max(x);
            region.top = region.top.min(y);
            region.bottom = region.bottom.max(y);
            for row in y.saturating_sub(1)..(y + 2).min(height) {
                for column in x.saturating_sub(1)..(x + 2).min(width) {
                    let neighbour = row * width + column;
                    if std::mem::take(&mut open[neighbour]) {
                        waiting.push(neighbour);
                    }
                }
            }
        }
        region
    }

    /// A letter is 2.5 to 12 % of the image's height, at most three times as wide as high, neither a filled
    /// box nor a thin line, and in the outer part of the image.
    fn is_letter(&self, width: usize, height: usize) -> bool {
        let (across, down) = (self.right - self.left + 1, self.bottom - self.top + 1);
        let (wide, high) = (across as f64 / width as f64, down as f64 / height as f64);
        let fill = self.n as f64 / (across * down) as f64;
        let (x, y) = (
            (self.left + self.right) as f64 / 2.0 / width as f64,
            (self.top + self.bottom) as f64 / 2.0 / height as f64,
        );
        let outer = !(0.25..=0.75).contains(&x) || !(0.2..=0.85).contains(&y);
        (0.025..=0.12).contains(&high)
            && (0.01..=0.18).contains(&wide)
            && (0.2..=0.9).contains(&fill)
            && down * 3 >= across
            && down <= across * 5
            && outer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::AcquisitionMetadata;
    use crate::preprocess::preprocess;
    use crate::{AcceptancePolicy, AcceptedImage, DecodeLimits, PreprocessSpec};

    const SIDE: usize = 112;

    /// A horizontal ramp from 40 to 95 with `draw` over it.
    fn screened(draw: impl Fn(usize, usize) -> Option<u8>) -> Artefacts {
        let ramp = |at: usize| 40 + (at % SIDE / 2) as u8;
        let pixels: Vec<u8> =
            (0..SIDE * SIDE).map(|at| draw(at % SIDE, at / SIDE).unwrap_or(ramp(at))).collect();
        let file = png(&pixels);
        let image = crate::decode(&file, &DecodeLimits::default()).unwrap();
        let policy = AcceptancePolicy { min_spread: 0.0, ..AcceptancePolicy::default() };
        let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &policy).unwrap();
        let side = SIDE as u32;
        let spec = PreprocessSpec { width: side, height: side, ..PreprocessSpec::default() };
        Artefacts::of(&pixels, SIDE, preprocess(&accepted, &spec).statistics())
    }

    fn png(pixels: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, SIDE as u32, SIDE as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        file
    }

    #[test]
    fn a_clean_image_passes_and_each_defect_is_named() {
        let clean = screened(|_, _| None);
        assert_eq!((clean.marks, clean.is_bordered()), (0, false));
        let framed = screened(|x, y| (x < 5 || y < 3).then_some(2));
        assert!((framed.black_border - 5.0 / 112.0).abs() < 1e-12 && framed.white_border < 1e-12);
        let white = screened(|_, y| (y >= SIDE - 4).then_some(250));
        assert!((white.white_border - 4.0 / 112.0).abs() < 1e-12 && white.is_bordered());
        // An L, two pixels thick and ten high.
        let letter = |x: usize, y: usize| {
            let upright = (8..10).contains(&x) && (6..16).contains(&y);
            let foot = (8..15).contains(&x) && (14..16).contains(&y);
            (upright || foot).then_some(250)
        };
        assert_eq!(screened(letter).marks, 1);
        assert_eq!(screened(|x, y| letter(x.wrapping_sub(40), y.wrapping_sub(40))).marks, 0, "in the chest");
        assert!(screened(|_, y| (y < 90).then_some(255)).extreme_exposure);
    }
}
