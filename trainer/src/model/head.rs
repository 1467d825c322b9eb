//! From a feature map to logit, class activation map and embedding: global average pooling and one linear layer.

use super::Outputs;
use super::layers::global_average;
use tch::{Kind, Tensor, nn};

/// The classifier. With one linear layer after the pooling, the class activation map (Zhou et al. 2016) is Grad-CAM
/// before its ReLU, up to scale, and needs no backward pass.
#[derive(Debug)]
pub struct Head {
    classifier: nn::Linear,
    dropout: f64,
}

impl Head {
    /// Registers `weight` and `bias` under `path`.
    pub fn new(path: &nn::Path, features: i64, dropout: f64) -> Self {
        Self { classifier: nn::linear(path, features, 1, nn::LinearConfig::default()), dropout }
    }

    /// The logit alone, with dropout in training.
    pub fn logits(&self, features_nchw: &Tensor, train: bool) -> Tensor {
        global_average(features_nchw).dropout(self.dropout, train).apply(&self.classifier)
    }

    /// Everything that a bundle's graph gives, without dropout.
    pub fn outputs(&self, features_nchw: &Tensor) -> Outputs {
        let embedding = global_average(features_nchw);
        let logits = embedding.apply(&self.classifier);
        let direction = self.classifier.ws.view([1, -1, 1, 1]);
        let cam = (features_nchw.to_kind(Kind::Float) * direction).sum_dim_intlist(
            [1i64].as_slice(),
            true,
            Kind::Float,
        );
        Outputs { logits, cam, embedding }
    }
}
