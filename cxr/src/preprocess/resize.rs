//! Resize to the model's input with an antialiased triangle filter (what Pillow calls bilinear), and the way back.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

/// How the aspect ratio is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Both axes are scaled on their own: the whole input is filled, the aspect ratio is lost.
    Squash,
    /// The image is scaled to fit and centred on black.
    Letterbox,
}

/// Where an image lies in the model's input, in pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Columns and rows of the original.
    pub original: (u32, u32),
    /// Columns and rows of the input.
    pub input: (u32, u32),
    /// Left column and top row of the image within the input.
    pub offset: (u32, u32),
    /// Columns and rows that the image takes up.
    pub size: (u32, u32),
}

impl Geometry {
    /// Places an image.
    pub fn new(original: (u32, u32), input: (u32, u32), mode: ResizeMode) -> Self {
        let size = match mode {
            ResizeMode::Squash => input,
            ResizeMode::Letterbox => fit(original, input),
        };
        let offset = ((input.0 - size.0) / 2, (input.1 - size.1) / 2);
        Self { original, input, offset, size }
    }
}

/// The largest size with the original's proportions that fits, at least one pixel a side.
fn fit(original: (u32, u32), input: (u32, u32)) -> (u32, u32) {
    let scaled = |side: u32, num: u32, den: u32| {
        let (side, num, den) = (u64::from(side), u64::from(num), u64::from(den));
        (((side * num + den / 2) / den) as u32).max(1)
    };
    if u64::from(original.0) * u64::from(input.1) >= u64::from(original.1) * u64::from(input.0) {
        (input.0, scaled(original.1, input.0, original.0).min(input.1))
    } else {
        (scaled(original.0, input.1, original.1).min(input.0), input.1)
    }
}

/// 16-bit brightness at the original's size to 8 bits at the input's.
pub(super) fn resize(levels: &[u16], geometry: &Geometry) -> Vec<u8> {
    let (width, height) = geometry.size;
    let resized =
        if geometry.original == geometry.size { levels.to_vec() } else { convolve(levels, geometry) };
    let (columns, rows) = geometry.input;
    let mut pixels = vec![0; columns as usize * rows as usize];
    let target =
        pixels.chunks_exact_mut(columns as usize).skip(geometry.offset.1 as usize).take(height as usize);
    for (row, source) in target.zip(resized.chunks_exact(width as usize)) {
        let left = geometry.offset.0 as usize;
        for (pixel, level) in row[left..left + width as usize].iter_mut().zip(source) {
            *pixel = ((u32::from(*level) + 128) / 257) as u8;
        }
    }
    pixels
}

fn convolve(levels: &[u16], geometry: &Geometry) -> Vec<u16> {
    let bytes: Vec<u8> = levels.iter().flat_map(|level| level.to_ne_bytes()).collect();
    let source = ImageRef::new(geometry.original.0, geometry.original.1, &bytes, PixelType::U16)
        .expect("two bytes for each of width x height levels");
    let mut target = Image::new(geometry.size.0, geometry.size.1, PixelType::U16);
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options).expect("source and target are both U16");
    target.buffer().as_chunks::<2>().0.iter().map(|pair| u16::from_ne_bytes(*pair)).collect()
}
