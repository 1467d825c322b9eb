//! DenseNet-121 (Huang et al. 2017) under torchvision's parameter names.

use super::layers::{Conv, ConvNorm, ConvShape, Norm, avg_pool_2x2};
use tch::{Tensor, nn};

pub const BLOCKS: [i64; 4] = [6, 12, 24, 16];
pub const FEATURES: i64 = 1024;
pub const GROWTH: i64 = 32;
/// Channels between the two convolutions of a layer.
pub const BOTTLENECK: i64 = 4 * GROWTH;
pub const STEM: i64 = 64;

#[derive(Debug)]
struct Layer {
    norm: Norm,
    bottleneck: ConvNorm,
    conv: Conv,
}

impl Layer {
    fn new(path: &nn::Path, inputs: i64) -> Self {
        let bottleneck = ConvShape::dense(inputs, BOTTLENECK, 1).fan_in();
        Self {
            norm: Norm::new(&(path / "norm1"), inputs),
            bottleneck: ConvNorm::new(&(path / "conv1"), &(path / "norm2"), bottleneck),
            conv: Conv::new(&(path / "conv2"), ConvShape::dense(BOTTLENECK, GROWTH, 3).fan_in()),
        }
    }

    fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let hidden = self.bottleneck.forward(&self.norm.forward(x_nchw, train).relu(), train).relu();
        Tensor::cat(&[x_nchw, &self.conv.forward(&hidden)], 1)
    }
}

#[derive(Debug)]
struct Transition {
    norm: Norm,
    conv: Conv,
}

impl Transition {
    fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        avg_pool_2x2(&self.conv.forward(&self.norm.forward(x_nchw, train).relu()))
    }
}

#[derive(Debug)]
pub struct DenseNet121 {
    stem: ConvNorm,
    blocks: Vec<(Vec<Layer>, Option<Transition>)>,
    norm: Norm,
}

impl DenseNet121 {
    pub fn new(path: &nn::Path) -> Self {
        let features = path / "features";
        let stem_shape = ConvShape::dense(3, STEM, 7).stride(2).fan_in();
        let stem = ConvNorm::new(&(&features / "conv0"), &(&features / "norm0"), stem_shape);
        let mut channels = STEM;
        let mut blocks = Vec::new();
        for (number, n_layers) in (1..).zip(BLOCKS) {
            let block = &features / format!("denseblock{number}");
            let layers = (0..n_layers)
                .map(|i| Layer::new(&(&block / format!("denselayer{}", i + 1)), channels + i * GROWTH))
                .collect();
            channels += n_layers * GROWTH;
            let transition = (number < BLOCKS.len()).then(|| {
                let path = &features / format!("transition{number}");
                let norm = Norm::new(&(&path / "norm"), channels);
                let shape = ConvShape::dense(channels, channels / 2, 1).fan_in();
                channels = shape.outputs;
                Transition { norm, conv: Conv::new(&(&path / "conv"), shape) }
            });
            blocks.push((layers, transition));
        }
        Self { stem, blocks, norm: Norm::new(&(&features / "norm5"), channels) }
    }

    /// The feature map `[N, 1024, H/32, W/32]` of normalised images `[N, 3, H, W]`.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let stem = self.stem.forward(x_nchw, train).relu();
        let mut x = stem.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        for (layers, transition) in &self.blocks {
            x = layers.iter().fold(x, |x, layer| layer.forward(&x, train));
            if let Some(transition) = transition {
                x = transition.forward(&x, train);
            }
        }
        self.norm.forward(&x, train).relu()
    }
}
