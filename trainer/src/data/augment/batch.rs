//! Batch operations that the augmentations share.

use super::draw::Variation;
use tch::Tensor;

/// Replaces the images that `wants` selects by `act` of them, in order; the others keep every bit.
pub(super) fn only(
    mut images: Tensor,
    varied: &[Variation],
    wants: impl Fn(&Variation) -> bool,
    act: impl FnOnce(&Tensor) -> Tensor,
) -> Tensor {
    let picked: Vec<i64> = (0i64..).zip(varied).filter(|(_, v)| wants(v)).map(|(i, _)| i).collect();
    if picked.is_empty() {
        return images;
    }
    let positions = Tensor::from_slice(&picked).to_device(images.device());
    let changed = act(&images.index_select(0, &positions));
    images.index_copy_(0, &positions, &changed)
}

/// One value per image, float32 `[N, 1, 1, 1]` on the device of the images.
pub(super) fn column(images: &Tensor, values: impl Iterator<Item = f64>) -> Tensor {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    Tensor::from_slice(&values).view([-1, 1, 1, 1]).to_device(images.device())
}
