//! Geometric corruptions: one affine map, bilinear, black outside.

use super::photometric::to_level;

/// Warps by `matrix` (2x3, row-major), which maps output to input coordinates; both run from -1 to 1 over the
/// image. Bilinear, black outside.
pub fn warp(pixels: &[u8], (width, height): (u32, u32), matrix: &[f64; 6]) -> Vec<u8> {
    let (w, h) = (i64::from(width), i64::from(height));
    // Between the outermost pixel centres and the image's border the edge pixels are repeated.
    let level = |x: i64, y: i64| f64::from(pixels[(y.clamp(0, h - 1) * w + x.clamp(0, w - 1)) as usize]);
    let mut warped = Vec::with_capacity(pixels.len());
    for row in 0..h {
        let v = (2.0 * row as f64 + 1.0) / h as f64 - 1.0;
        for column in 0..w {
            let u = (2.0 * column as f64 + 1.0) / w as f64 - 1.0;
            let x = ((matrix[0] * u + matrix[1] * v + matrix[2] + 1.0) * w as f64 - 1.0) / 2.0;
            let y = ((matrix[3] * u + matrix[4] * v + matrix[5] + 1.0) * h as f64 - 1.0) / 2.0;
            if x < -0.5 || y < -0.5 || x > w as f64 - 0.5 || y > h as f64 - 0.5 {
                warped.push(0);
                continue;
            }
            let (left, top) = (x.floor(), y.floor());
            let (across, down) = (x - left, y - top);
            let (left, top) = (left as i64, top as i64);
            let upper = level(left, top) * (1.0 - across) + level(left + 1, top) * across;
            let lower = level(left, top + 1) * (1.0 - across) + level(left + 1, top + 1) * across;
            warped.push(to_level(upper * (1.0 - down) + lower * down));
        }
    }
    warped
}

/// Shifts the image right and down by shares of its sides.
pub fn shift(pixels: &[u8], size: (u32, u32), right: f64, down: f64) -> Vec<u8> {
    // Coordinates run from -1 to 1, so a share of the side is twice as much.
    warp(pixels, size, &[1.0, 0.0, -2.0 * right, 0.0, 1.0, -2.0 * down])
}

pub(super) fn rotate(pixels: &[u8], size: (u32, u32), degrees: f64) -> Vec<u8> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    // The grid from -1 to 1 is not square: correct the angle for the ratio of the sides.
    let ratio = f64::from(size.1) / f64::from(size.0);
    warp(pixels, size, &[cos, -sin * ratio, 0.0, sin / ratio, cos, 0.0])
}
