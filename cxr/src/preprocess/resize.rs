//! Resize to the model's input with an antialiased triangle filter (Pillow's bilinear).

mod narrow;
mod taps;

use super::window::Lut;
use crate::image::Samples;
use crate::workspace::ResizeBuffers;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U16;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};
use serde::{Deserialize, Serialize};

/// Treatment of the aspect ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Both axes are scaled independently: the input is filled, the aspect ratio is lost.
    Squash,
    /// The image is scaled to fit and centred on black.
    Letterbox,
}

/// Position of an image in the model's input, in pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Columns and rows of the original.
    pub original: (u32, u32),
    /// Columns and rows of the input.
    pub input: (u32, u32),
    /// Left column and top row of the image within the input.
    pub offset: (u32, u32),
    /// Columns and rows of the image within the input.
    pub size: (u32, u32),
}

impl Geometry {
    /// Computes the position of an image of size `original`.
    pub(crate) fn new(original: (u32, u32), input: (u32, u32), mode: ResizeMode) -> Self {
        let size = match mode {
            ResizeMode::Squash => input,
            ResizeMode::Letterbox => fit(original, input),
        };
        let offset = ((input.0 - size.0) / 2, (input.1 - size.1) / 2);
        Self { original, input, offset, size }
    }
}

/// The largest size with the original's proportions that fits, at least one pixel per side.
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

/// Applies the window and resizes into the model's input, black around the image.
pub(super) fn resize(
    samples: &Samples,
    window: &Lut,
    geometry: &Geometry,
    buffers: &mut ResizeBuffers,
) -> Vec<u8> {
    let (columns, rows) = geometry.input;
    let mut pixels = vec![0; columns as usize * rows as usize];
    if let (Samples::Narrow(samples), Some(levels)) = (samples, window.bytes()) {
        let shown = levels.apply(samples);
        if geometry.original == geometry.size {
            place(&shown, geometry, &mut pixels);
        } else {
            narrow::resize(&shown, geometry, &mut buffers.row, &mut pixels);
        }
    } else {
        window.apply(&samples.widened(), &mut buffers.levels);
        wide(geometry, buffers, &mut pixels);
    }
    pixels
}

/// Copies an image that already has its size.
fn place(shown: &[u8], geometry: &Geometry, pixels: &mut [u8]) {
    let (left, top, width) =
        (geometry.offset.0 as usize, geometry.offset.1 as usize, geometry.size.0 as usize);
    let target = pixels.chunks_exact_mut(geometry.input.0 as usize).skip(top);
    for (row, source) in target.zip(shown.chunks_exact(width)) {
        row[left..left + width].copy_from_slice(source);
    }
}

/// Resizes 16-bit brightness and reduces it to 8 bits.
fn wide(geometry: &Geometry, buffers: &mut ResizeBuffers, pixels: &mut [u8]) {
    let (width, height) = geometry.size;
    let mut resized = TypedImage::new(width, height);
    if geometry.original == geometry.size {
        resized.pixels_mut().copy_from_slice(&buffers.levels);
    } else {
        convolve(buffers, geometry.original, &mut resized);
    }
    let (left, top) = (geometry.offset.0 as usize, geometry.offset.1 as usize);
    let target = pixels.chunks_exact_mut(geometry.input.0 as usize).skip(top).take(height as usize);
    for (row, source) in target.zip(resized.pixels().chunks_exact(width as usize)) {
        for (pixel, level) in row[left..left + width as usize].iter_mut().zip(source) {
            *pixel = ((u32::from(level.0) + 128) / 257) as u8;
        }
    }
}

fn convolve(buffers: &mut ResizeBuffers, (width, height): (u32, u32), target: &mut TypedImage<'static, U16>) {
    let source = TypedImageRef::new(width, height, &buffers.levels).expect("width x height levels");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    buffers
        .resizer
        .resize_typed(&source, target, &options)
        .expect("the whole of an image with sides above zero");
}
