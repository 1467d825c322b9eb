//! Renders a class activation map as a transparent overlay in the original's geometry (indexed PNG), and its
//! legend.

mod legend;
mod scale;

pub use legend::{LIMITS, legend};
pub use scale::{ColourScale, HeatmapScale, ScaleOrigin};

use crate::preprocess::{Geometry, ResizeMode};
use png::{BitDepth, ColorType, Compression, Encoder};

/// Longest side of a heatmap in pixels. For a larger original the heatmap is scaled down.
const MAX_SIDE_PX: u32 = 4096;

/// A class activation map and the meaning of its colours.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Values of the map, row-major.
    pub cam: &'a [f32],
    /// Columns and rows of the map.
    pub cam_size: (u32, u32),
    /// Colour scale, the same for every image.
    pub scale: ColourScale,
    /// Name of the class that the evidence is for.
    pub class: &'a str,
}

/// Renders a map over the original as PNG: transparent below the scale, then from violet over red to yellow.
/// The text chunks `Title`, `Description` and `cxr-scale` describe it.
///
/// # Panics
/// If the map does not have `cam_size` values.
pub fn render(evidence: &Evidence<'_>, geometry: &Geometry) -> Vec<u8> {
    let (width, height) = drawn_size(geometry.original);
    encode(&indices(evidence, geometry, (width, height)), (width, height), evidence)
}

/// Blends a map with the model's input: RGB, row-major, for `pixels` of `size` columns and rows.
///
/// # Panics
/// If the map does not have `cam_size` values.
pub fn blend(pixels: &[u8], size: (u32, u32), evidence: &Evidence<'_>) -> Vec<u8> {
    let geometry = Geometry::new(size, size, ResizeMode::Squash);
    let drawn = indices(evidence, &geometry, size);
    pixels.iter().zip(drawn).flat_map(|(level, index)| ColourScale::over(index, *level)).collect()
}

/// The map at `size` columns and rows: bilinear between the centres of its cells, constant beyond the
/// outermost.
///
/// # Panics
/// If `cam` does not have `cam_size` values.
pub fn upsample(cam: &[f32], cam_size: (u32, u32), size: (u32, u32)) -> Vec<f32> {
    interpolate(cam, cam_size, &Geometry::new(size, size, ResizeMode::Squash), size, |value| value)
}

/// Palette indices of the pixels.
fn indices(evidence: &Evidence<'_>, geometry: &Geometry, size: (u32, u32)) -> Vec<u8> {
    let Evidence { cam, cam_size, scale, .. } = *evidence;
    interpolate(cam, cam_size, geometry, size, |value| scale.index(value))
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
    /// Maps pixel `at` of a picture with side `side` through the placement in the model's input to cells of
    /// the map.
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

fn encode(indices: &[u8], (width, height): (u32, u32), evidence: &Evidence<'_>) -> Vec<u8> {
    let (palette, alpha): (Vec<[u8; 3]>, Vec<u8>) = (0..=255).map(ColourScale::colour).unzip();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_trns(alpha);
    encoder.set_compression(Compression::Fast);
    let ColourScale { low, high } = evidence.scale;
    let texts = [
        ("Title", format!("Evidence for {}", evidence.class)),
        ("Description", LIMITS.to_owned()),
        ("cxr-scale", format!("{low} {high}")),
    ];
    // Text chunks are Latin-1.
    let latin = |text: String| text.chars().map(|c| if u32::from(c) < 256 { c } else { '?' }).collect();
    let texts =
        texts.into_iter().try_for_each(|(key, text)| encoder.add_text_chunk(key.to_owned(), latin(text)));
    let written =
        texts.and_then(|()| encoder.write_header()).and_then(|mut writer| writer.write_image_data(indices));
    written.expect("writing to memory a picture whose size matches its header");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: ColourScale = ColourScale { low: 2.0, high: 10.0 };

    fn drawn(cam: &[f32]) -> Vec<u8> {
        let evidence = Evidence { cam, cam_size: (2, 2), scale: SCALE, class: "PNEUMONIA" };
        indices(&evidence, &Geometry::new((8, 8), (8, 8), ResizeMode::Squash), (8, 8))
    }

    #[test]
    fn nothing_is_drawn_below_the_scale_and_colours_do_not_depend_on_the_image() {
        assert!(drawn(&[1.9, -5.0, 0.0, 1.0]).iter().all(|index| *index == 0), "a negative stays dark");
        let (weak, strong) = (drawn(&[4.0, 0.0, 0.0, 0.0]), drawn(&[4.0, 40.0, 0.0, 0.0]));
        assert_eq!(weak[0], strong[0], "the same value has the same colour beside a stronger one");
        assert_eq!(*strong.iter().max().unwrap(), 255, "beyond the scale is its last colour");
        assert_eq!(drawn(&[2.0; 4]), [1; 64], "the low end is drawn");
        assert!(drawn(&[f32::NAN; 4]).iter().all(|index| *index == 0));
    }

    #[test]
    fn the_file_says_what_it_shows() {
        let evidence = Evidence { cam: &[3.0; 4], cam_size: (2, 2), scale: SCALE, class: "PNEUMONIA" };
        let file = render(&evidence, &Geometry::new((40, 30), (8, 8), ResizeMode::Squash));
        let reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let info = reader.info();
        assert_eq!((info.width, info.height), (40, 30), "the original's size");
        let texts: Vec<(&str, &str)> = info
            .uncompressed_latin1_text
            .iter()
            .map(|chunk| (chunk.keyword.as_str(), chunk.text.as_str()))
            .collect();
        let expected = [("Title", "Evidence for PNEUMONIA"), ("Description", LIMITS), ("cxr-scale", "2 10")];
        assert_eq!(texts, expected);
    }
}
