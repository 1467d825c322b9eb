//! The head: global average pooling and one linear layer.

use super::layers::global_average;
use tch::{Kind, Tensor, nn};

/// The outputs for a batch, in float32.
#[derive(Debug)]
pub struct Outputs {
    /// `[N, 1]`, before calibration.
    pub logits: Tensor,
    /// Class activation map, `[N, 1, H/32, W/32]`.
    pub cam: Tensor,
    /// Pooled features, `[N, D]`.
    pub embedding: Tensor,
}

/// With one linear layer after the pooling, the class activation map (Zhou et al. 2016) equals Grad-CAM
/// before its ReLU, up to scale, and needs no backward pass.
#[derive(Debug)]
pub struct Head {
    classifier: nn::Linear,
    dropout: f64,
}

impl Head {
    pub fn new(path: &nn::Path, features: i64, dropout: f64) -> Self {
        // torchvision's initial classifier: PyTorch's range, less than half of tch's, and a bias of zero.
        let bound = 1.0 / (features as f64).sqrt();
        let config = nn::LinearConfig {
            ws_init: nn::Init::Uniform { lo: -bound, up: bound },
            bs_init: Some(nn::Init::Const(0.0)),
            ..Default::default()
        };
        Self { classifier: nn::linear(path, features, 1, config), dropout }
    }

    pub fn logits(&self, features_nchw: &Tensor, train: bool) -> Tensor {
        global_average(features_nchw).dropout(self.dropout, train).apply(&self.classifier)
    }

    /// All outputs of a bundle's graph, without dropout.
    pub fn outputs(&self, features_nchw: &Tensor) -> Outputs {
        let embedding = global_average(features_nchw);
        let logits = embedding.apply(&self.classifier);
        let direction = self.classifier.ws.view([1, -1, 1, 1]);
        let weighted = features_nchw.to_kind(Kind::Float) * direction;
        let cam = weighted.sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        Outputs { logits, cam, embedding }
    }
}
