//! Marks over the image: rectangles in the corners, and letters like burned-in side markers. Both classes get
//! them alike, so that a network does not learn from such marks.

use super::draw::{Marks, Variation, generator};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

/// Letters of side markers, five columns by seven rows, one byte per row.
const GLYPHS: [[u8; 7]; 8] = [
    [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001], // R
    [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111], // L
    [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001], // A
    [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000], // P
    [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001], // M
    [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110], // 5
    [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110], // 0
    [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100], // T
];

/// Replaces pixels by the levels in channel 0 of `overlay` where its mask in channel 1 is set.
pub(super) fn lay(images: &Tensor, overlay: &Tensor) -> Tensor {
    let levels = overlay.narrow(1, 0, 1).to_kind(Kind::Float);
    levels.where_self(&overlay.narrow(1, 1, 1).gt(0), images)
}

/// Level and mask planes of one image.
struct Canvas<'a> {
    levels: &'a mut [u8],
    mask: &'a mut [u8],
    width: u32,
    height: u32,
}

impl Canvas<'_> {
    fn set(&mut self, x: u32, y: u32, level: u8) {
        if x < self.width && y < self.height {
            let position = (y * self.width + x) as usize;
            (self.levels[position], self.mask[position]) = (level, 255);
        }
    }
}

/// Level and mask planes of every image, one byte per pixel; none if no image has marks.
pub(super) fn paint(varied: &[Variation], (width, height): (u32, u32)) -> Option<Vec<u8>> {
    if !varied.iter().any(|v| v.marks.rectangles || v.marks.letters > 0) {
        return None;
    }
    let n_pixels = (width * height) as usize;
    let mut planes = vec![0; varied.len() * 2 * n_pixels];
    for (variation, planes) in varied.iter().zip(planes.chunks_exact_mut(2 * n_pixels)) {
        let (levels, mask) = planes.split_at_mut(n_pixels);
        paint_marks(&variation.marks, &mut Canvas { levels, mask, width, height });
    }
    Some(planes)
}

fn paint_marks(marks: &Marks, canvas: &mut Canvas) {
    let mut rng = generator(marks.seed, 0, 0);
    if marks.rectangles {
        for corner in 0..4 {
            if rng.random_bool(0.5) {
                paint_rectangle(canvas, corner, marks.largest_side, &mut rng);
            }
        }
    }
    for _ in 0..marks.letters {
        paint_letters(canvas, &mut rng);
    }
}

/// A rectangle near a corner, inset by at most an eighth of the side, of one grey level or of noise.
fn paint_rectangle(canvas: &mut Canvas, corner: u32, largest_side: u32, rng: &mut ChaCha8Rng) {
    let mut side = |whole: u32| (whole * rng.random_range(30..=largest_side.max(31)) / 1000).max(1);
    let (across, down) = (side(canvas.width), side(canvas.height));
    let mut start = |whole: u32, length: u32, far: bool| {
        let inset = rng.random_range(0..=whole / 8);
        if far { whole.saturating_sub(length + inset) } else { inset }
    };
    let (x, y) = (start(canvas.width, across, corner % 2 == 1), start(canvas.height, down, corner / 2 == 1));
    let grey = rng.random_bool(0.7).then(|| rng.random::<u8>());
    for (row, column) in (0..down).flat_map(|row| (0..across).map(move |column| (row, column))) {
        let level = grey.unwrap_or_else(|| rng.random());
        canvas.set(x + column, y + row, level);
    }
}

/// One to four letters in a row, bright or dark, in the upper or lower third.
fn paint_letters(canvas: &mut Canvas, rng: &mut ChaCha8Rng) {
    let pixel = rng.random_range(1..=(canvas.width / 75).max(1));
    let level = if rng.random_bool(0.8) { rng.random_range(180..=255) } else { rng.random_range(0..=60) };
    let n_letters = rng.random_range(1..=4);
    let x = rng.random_range(0..canvas.width.saturating_sub(6 * pixel).max(1));
    let third = (canvas.height / 3).max(1);
    let y = rng.random_range(0..third) + if rng.random_bool(0.3) { canvas.height - third } else { 0 };
    for letter in 0..n_letters {
        let glyph = GLYPHS[rng.random_range(0..GLYPHS.len())];
        for (row, bits) in (0..7 * pixel).map(|row| (row, glyph[(row / pixel) as usize])) {
            for column in (0..5 * pixel).filter(|column| bits >> (4 - column / pixel) & 1 == 1) {
                canvas.set(x + letter * 6 * pixel + column, y + row, level);
            }
        }
    }
}
