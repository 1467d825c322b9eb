//! Class activation map to a picture: a transparent overlay in the original's geometry, as an indexed PNG.

use crate::preprocess::{Geometry, ResizeMode};
use png::{BitDepth, ColorType, Compression, Encoder};

/// The longest side that is drawn; a larger original gets its heatmap at this size with the same proportions.
const MAX_SIDE_PX: u32 = 4096;

/// Renders a map (`cam_size` = columns, rows; row-major) over the original: nothing where the map is not positive
/// (Grad-CAM's ReLU), then from transparent violet over red to opaque yellow at the map's maximum. A map without
/// positive or with non-finite values gives an empty overlay.
///
/// # Panics
/// If `cam` does not have `cam_size` values.
pub fn render(cam: &[f32], cam_size: (u32, u32), geometry: &Geometry) -> Vec<u8> {
    let (width, height) = drawn_size(geometry.original);
    encode(&indices(cam, cam_size, geometry, (width, height)), width, height)
}

/// The same over the model's own input, blended: RGB, row-major, for `pixels` of `size` columns and rows.
///
/// # Panics
/// If `cam` does not have `cam_size` values.
pub fn blend(pixels: &[u8], size: (u32, u32), cam: &[f32], cam_size: (u32, u32)) -> Vec<u8> {
    let geometry = Geometry::new(size, size, ResizeMode::Squash);
    let mixed = |(level, index): (&u8, u8)| {
        let (rgb, alpha) = colour(index);
        let (level, share) = (f32::from(*level), f32::from(alpha) / 255.0);
        rgb.map(|channel| (level + (f32::from(channel) - level) * share) as u8)
    };
    pixels.iter().zip(indices(cam, cam_size, &geometry, size)).flat_map(mixed).collect()
}

/// The map at `size` columns and rows: bilinear between the centres of its cells, the outermost cells go on to the edge.
///
/// # Panics
/// If `cam` does not have `cam_size` values.
pub fn upsample(cam: &[f32], cam_size: (u32, u32), size: (u32, u32)) -> Vec<f32> {
    interpolate(cam, cam_size, &Geometry::new(size, size, ResizeMode::Squash), size, |value| value)
}

/// From 0 where the map is not positive to 255 at its maximum.
fn indices(cam: &[f32], cam_size: (u32, u32), geometry: &Geometry, size: (u32, u32)) -> Vec<u8> {
    let peak = cam.iter().copied().filter(|v| v.is_finite()).fold(0.0f32, f32::max);
    let scale = if peak > 0.0 && cam.iter().all(|v| v.is_finite()) { 255.0 / peak } else { 0.0 };
    interpolate(cam, cam_size, geometry, size, |value| (value * scale).clamp(0.0, 255.0) as u8)
}

fn interpolate<T>(
    cam: &[f32],
    cam_size: (u32, u32),
    geometry: &Geometry,
    (width, height): (u32, u32),
    to: impl Fn(f32) -> T,
) -> Vec<T> {
    let (columns, rows) = (cam_size.0 as usize, cam_size.1 as usize);
    assert_eq!(cam.len(), columns * rows, "a class activation map of {columns} x {rows}");
    let x: Vec<Tap> = (0..width).map(|x| Tap::at(x, width, 0, geometry, columns)).collect();
    let mut values = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        let v = Tap::at(y, height, 1, geometry, rows);
        let line = |row: usize, h: &Tap| h.mix(cam[row * columns + h.first], cam[row * columns + h.second]);
        values.extend(x.iter().map(|h| to(v.mix(line(v.first, h), line(v.second, h)))));
    }
    values
}

fn drawn_size((width, height): (u32, u32)) -> (u32, u32) {
    let long = width.max(height);
    if long <= MAX_SIDE_PX {
        return (width, height);
    }
    let scaled = |side: u32| ((u64::from(side) * u64::from(MAX_SIDE_PX) / u64::from(long)) as u32).max(1);
    (scaled(width), scaled(height))
}

/// Two neighbouring cells of the map and the weight of the second.
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

impl Tap {
    /// Pixel `at` of `side` in the picture, back through the placement in the model's input, to cells of the map.
    fn at(at: u32, side: u32, axis: usize, geometry: &Geometry, cells: usize) -> Self {
        let pick = |pair: (u32, u32)| f64::from(if axis == 0 { pair.0 } else { pair.1 });
        let in_input = pick(geometry.offset) + (f64::from(at) + 0.5) / f64::from(side) * pick(geometry.size);
        let cell = (in_input / pick(geometry.input) * cells as f64 - 0.5).clamp(0.0, cells as f64 - 1.0);
        let first = cell as usize;
        Self { first, second: (first + 1).min(cells - 1), weight: (cell - first as f64) as f32 }
    }

    fn mix(&self, a: f32, b: f32) -> f32 {
        a + (b - a) * self.weight
    }
}

fn encode(indices: &[u8], width: u32, height: u32) -> Vec<u8> {
    let (palette, alpha): (Vec<[u8; 3]>, Vec<u8>) = (0..=255).map(colour).unzip();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_trns(alpha);
    encoder.set_compression(Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(indices));
    written.expect("writing to memory a picture whose size matches its header");
    file
}

/// Four anchors of a violet-red-orange-yellow ramp; brightness and opacity rise together.
fn colour(index: u8) -> ([u8; 3], u8) {
    const ANCHORS: [[f32; 3]; 4] =
        [[60.0, 0.0, 110.0], [190.0, 30.0, 80.0], [245.0, 125.0, 20.0], [252.0, 250.0, 130.0]];
    let along = f32::from(index) / 255.0 * 3.0;
    let first = (along as usize).min(2);
    let weight = along - first as f32;
    let mix = |channel: usize| {
        (ANCHORS[first][channel] + (ANCHORS[first + 1][channel] - ANCHORS[first][channel]) * weight) as u8
    };
    ([mix(0), mix(1), mix(2)], (f32::from(index) * 0.75) as u8)
}
