//! Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) with the arithmetic of OpenCV's
//! `createCLAHE`, so that a model trained with OpenCV sees the same input. Clipped counts are spread evenly,
//! the remainder at regular steps; tables are interpolated bilinearly between tile centres; borders are
//! mirrored to whole tiles.

use serde::{Deserialize, Serialize};

/// Parameters as in OpenCV.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaheSpec {
    /// Highest count in a tile's histogram, in multiples of the mean count.
    pub clip_limit: f64,
    /// Tiles across and down.
    pub tiles: [u32; 2],
}

impl ClaheSpec {
    /// Rejects tiles that do not fit and clip limits out of range.
    pub(super) fn check(self, width: u32, height: u32) -> Result<(), String> {
        let fits = |tiles: u32, side: u32| (1..=64).contains(&tiles) && tiles <= side / 2;
        if !fits(self.tiles[0], width) || !fits(self.tiles[1], height) {
            return Err(format!("CLAHE with {:?} tiles does not fit {width} x {height} pixels", self.tiles));
        }
        if !(self.clip_limit > 0.0 && self.clip_limit <= 256.0) {
            return Err(format!("a CLAHE clip limit of {} is not within 0 to 256", self.clip_limit));
        }
        Ok(())
    }
}

/// Equalises `width * height` pixels in place.
pub fn apply(pixels: &mut [u8], width: u32, height: u32, spec: &ClaheSpec) {
    let size = [width as usize, height as usize];
    let tiles = spec.tiles.map(|n| n as usize);
    // OpenCV pads both axes if one is not divisible; an axis that is divisible grows by a whole row of tiles.
    let divisible = size[0].is_multiple_of(tiles[0]) && size[1].is_multiple_of(tiles[1]);
    let tile = [0, 1].map(|axis| {
        if divisible {
            size[axis] / tiles[axis]
        } else {
            (size[axis] + tiles[axis] - size[axis] % tiles[axis]) / tiles[axis]
        }
    });
    let tables: Vec<[u8; 256]> = (0..tiles[1])
        .flat_map(|down| (0..tiles[0]).map(move |across| (across, down)))
        .map(|(across, down)| table(pixels, size, tile, [across, down], spec.clip_limit))
        .collect();
    let columns: Vec<Blend> = (0..size[0]).map(|x| Blend::at(x, tile[0], tiles[0])).collect();
    for (y, row) in pixels.chunks_exact_mut(size[0]).enumerate() {
        let v = Blend::at(y, tile[1], tiles[1]);
        let (above, below) = (&tables[v.first * tiles[0]..], &tables[v.second * tiles[0]..]);
        for (pixel, h) in row.iter_mut().zip(&columns) {
            let value = usize::from(*pixel);
            let top = f32::from(above[h.first][value]) * (1.0 - h.weight)
                + f32::from(above[h.second][value]) * h.weight;
            let bottom = f32::from(below[h.first][value]) * (1.0 - h.weight)
                + f32::from(below[h.second][value]) * h.weight;
            *pixel = (top * (1.0 - v.weight) + bottom * v.weight).round_ties_even() as u8;
        }
    }
}

/// The two tiles whose centres enclose a position, and the weight of the second.
struct Blend {
    first: usize,
    second: usize,
    weight: f32,
}

impl Blend {
    fn at(position: usize, tile: usize, tiles: usize) -> Self {
        let along = position as f32 / tile as f32 - 0.5;
        let below = along.floor();
        let last = tiles as i64 - 1;
        let clamp = |index: i64| index.clamp(0, last) as usize;
        Self { first: clamp(below as i64), second: clamp(below as i64 + 1), weight: along - below }
    }
}

fn table(pixels: &[u8], size: [usize; 2], tile: [usize; 2], at: [usize; 2], clip_limit: f64) -> [u8; 256] {
    let mut histogram = [0u32; 256];
    for y in at[1] * tile[1]..(at[1] + 1) * tile[1] {
        let row = mirrored(y, size[1]) * size[0];
        for x in at[0] * tile[0]..(at[0] + 1) * tile[0] {
            histogram[usize::from(pixels[row + mirrored(x, size[0])])] += 1;
        }
    }
    let area = tile[0] * tile[1];
    clip(&mut histogram, ((clip_limit * area as f64 / 256.0) as u32).max(1));
    let scale = 255.0 / area as f32;
    let mut sum = 0;
    histogram.map(|count| {
        sum += count;
        (sum as f32 * scale).round_ties_even() as u8
    })
}

/// Reflection at the border without repeating the edge pixel.
const fn mirrored(position: usize, side: usize) -> usize {
    if position < side { position } else { 2 * (side - 1) - position }
}

fn clip(histogram: &mut [u32; 256], limit: u32) {
    let mut excess = 0;
    for count in histogram.iter_mut() {
        excess += count.saturating_sub(limit);
        *count = (*count).min(limit);
    }
    let (share, rest) = (excess / 256, (excess % 256) as usize);
    for count in histogram.iter_mut() {
        *count += share;
    }
    if let Some(step) = 256usize.checked_div(rest) {
        for count in histogram.iter_mut().step_by(step.max(1)).take(rest) {
            *count += 1;
        }
    }
}
