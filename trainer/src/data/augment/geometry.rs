//! Geometry: mirroring, rotation, translation, scaling and stretching as one affine grid.

use super::batch::{column, only};
use super::draw::Variation;
use tch::{Kind, Tensor};

// Values of libtorch's enums GridSamplerInterpolation and GridSamplerPadding.
const BILINEAR: i64 = 0;
const ZEROS: i64 = 0;

pub(super) fn warp(images: Tensor, varied: &[Variation]) -> Tensor {
    let moved: Vec<[f64; 6]> = varied.iter().filter(|v| v.moves()).map(|v| v.affine).collect();
    only(images, varied, Variation::moves, |images| {
        images.grid_sampler(&grid(images, &moved), BILINEAR, ZEROS, false)
    })
}

/// Input coordinates of each output pixel, `[N, H, W, 2]`, with the image edges at -1 and 1. libtorch's
/// `affine_grid_generator` does the same with a matrix product, which is slower.
fn grid(images: &Tensor, matrices: &[[f64; 6]]) -> Tensor {
    let (height, width) = (images.size()[2], images.size()[3]);
    let centres =
        |side: i64| (Tensor::arange(side, (Kind::Float, images.device())) * 2.0 + 1.0) / side as f64 - 1.0;
    let (x, y) = (centres(width).view([1, 1, width]), centres(height).view([1, height, 1]));
    let row = |first: usize| {
        let factor = |at: usize| column(images, matrices.iter().map(|matrix| matrix[at])).view([-1, 1, 1]);
        &x * factor(first) + (&y * factor(first + 1) + factor(first + 2))
    };
    Tensor::stack(&[row(0), row(3)], -1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_grid_is_libtorchs() {
        let matrices = [[0.9, -0.2, 0.1, 0.15, 1.1, -0.3], [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]];
        let images = Tensor::zeros([2, 1, 5, 7], (Kind::Float, Device::Cpu));
        let flat: Vec<f32> = matrices.iter().flatten().map(|value| *value as f32).collect();
        let matrix = Tensor::from_slice(&flat).view([2, 2, 3]);
        let expected = Tensor::affine_grid_generator(&matrix, images.size(), false);
        assert!((grid(&images, &matrices) - expected).abs().max().double_value(&[]) < 1e-6);
    }
}
