//! Frames from other images: the edges (table, collimator, markers, extent of neck and abdomen) come from the
//! next image of the batch, of either class, so that they carry no information about the lungs inside.

use super::batch::column;
use super::draw::Variation;
use tch::{Kind, Tensor};

pub(super) fn swap(images: &Tensor, varied: &[Variation]) -> Tensor {
    if varied.iter().all(|v| v.frame == 0.0) {
        return images.shallow_clone();
    }
    let shares = column(images, varied.iter().map(|v| v.frame));
    let inside = edge_distance(images).ge_tensor(&shares);
    images.where_self(&inside, &images.roll([1], [0]))
}

/// Distance of each pixel's centre to the nearest edge, as a share of the side, float32 `[1, 1, H, W]`.
fn edge_distance(images: &Tensor) -> Tensor {
    let along = |side: i64| {
        let at = (Tensor::arange(side, (Kind::Float, images.device())) + 0.5) / side as f64;
        at.minimum(&(1.0 - &at))
    };
    let (height, width) = (images.size()[2], images.size()[3]);
    along(height).view([1, 1, height, 1]).minimum(&along(width).view([1, 1, 1, width]))
}
