//! Exposure: gamma, contrast and brightness.

use super::batch::column;
use super::draw::Variation;
use tch::Tensor;

/// Grey level that a change of contrast leaves as it is, as a share of white.
const MID_GREY: f64 = 0.5;

pub(super) fn expose(images: &Tensor, varied: &[Variation]) -> Tensor {
    let gamma = column(images, varied.iter().map(|v| v.tone.gamma));
    let contrast = column(images, varied.iter().map(|v| v.tone.contrast * 255.0));
    let level = column(
        images,
        varied.iter().map(|v| 255.0 * (MID_GREY * (1.0 - v.tone.contrast) + v.tone.brightness)),
    );
    (images / 255.0).pow_tensor_(&gamma).g_mul_(&contrast).g_add_(&level).clamp_(0.0, 255.0)
}
