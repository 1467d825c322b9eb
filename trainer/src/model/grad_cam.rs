//! Grad-CAM by automatic differentiation, as a reference for the class activation map.

use super::Network;
use tch::{Kind, Tensor};

impl Network {
    /// Grad-CAM (Selvaraju et al. 2017) of the last feature map, before its ReLU: `[N, 1, h, w]` for grey
    /// levels 0 to 255, float32 `[N, 1, H, W]`.
    ///
    /// Channels are weighted by the mean gradient of the image's logit. Multiplying by the number of
    /// positions puts the map on the scale of the class activation map.
    pub fn grad_cam(&self, grey_nchw: &Tensor) -> Tensor {
        let features = tch::no_grad(|| self.features(grey_nchw, false)).detach().set_requires_grad(true);
        // Only one term of the sum depends on an image: its own logit.
        let logits = self.head.logits(&features, false).sum(Kind::Float);
        let gradient = Tensor::run_backward(&[logits], &[&features], false, false).remove(0);
        let weights = gradient.mean_dim([2i64, 3].as_slice(), true, Kind::Float);
        let n_positions = (features.size()[2] * features.size()[3]) as f64;
        let map = (weights * &features).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        (map * n_positions).detach()
    }
}
