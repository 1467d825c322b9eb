//! Geometry: mirror, rotation, translation, magnification and stretch as one affine grid.

use super::Variation;
use tch::Tensor;

/// Bilinear interpolation.
const BILINEAR: i64 = 0;
/// What comes from outside the image is black.
const ZEROS: i64 = 0;

/// Every image through its own matrix; one that does not move keeps its pixels to within rounding.
pub(super) fn warp(images: &Tensor, varied: &[Variation]) -> Tensor {
    let matrices: Vec<f32> = varied.iter().flat_map(|v| v.affine).map(|value| value as f32).collect();
    let matrices = Tensor::from_slice(&matrices).view([-1, 2, 3]).to_device(images.device());
    let grid = Tensor::affine_grid_generator(&matrices, images.size(), false);
    images.grid_sampler(&grid, BILINEAR, ZEROS, false)
}
