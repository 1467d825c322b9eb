//! Geometry: mirror, rotation, translation, magnification and stretch as one affine grid.

use super::{Variation, only};
use tch::Tensor;

/// Bilinear interpolation.
const BILINEAR: i64 = 0;
/// What comes from outside the image is black.
const ZEROS: i64 = 0;

/// Every image that moves through its own matrix; the others keep their pixels exactly.
pub(super) fn warp(images: &Tensor, varied: &[Variation]) -> Tensor {
    let moved = varied.iter().filter(|v| v.moves());
    let matrices: Vec<f32> = moved.flat_map(|v| v.affine).map(|value| value as f32).collect();
    only(images, varied, Variation::moves, |moved| {
        let matrices = Tensor::from_slice(&matrices).view([-1, 2, 3]).to_device(moved.device());
        let grid = Tensor::affine_grid_generator(&matrices, moved.size(), false);
        moved.grid_sampler(&grid, BILINEAR, ZEROS, false)
    })
}
