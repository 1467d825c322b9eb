//! ResNet-50 (He et al. 2016) with the stride in the 3x3 convolution (v1.5) and torchvision's names.

use super::layers::{ConvNorm, ConvShape};
use tch::{Tensor, nn};

pub const FEATURES: i64 = 2048;
pub const STEM: i64 = 64;
/// Hidden channels, blocks and first stride of each layer.
pub const LAYERS: [(i64, i64, i64); 4] = [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)];
/// Ratio of output to hidden channels.
pub const EXPANSION: i64 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockShape {
    pub path: String,
    pub inputs: i64,
    pub hidden: i64,
    pub stride: i64,
    pub projects: bool,
}

impl BlockShape {
    pub const fn convolutions(&self) -> [ConvShape; 3] {
        [
            ConvShape::dense(self.inputs, self.hidden, 1),
            ConvShape::dense(self.hidden, self.hidden, 3).stride(self.stride),
            ConvShape::dense(self.hidden, self.hidden * EXPANSION, 1),
        ]
    }

    pub const fn projection(&self) -> ConvShape {
        ConvShape::dense(self.inputs, self.hidden * EXPANSION, 1).stride(self.stride)
    }
}

pub fn blocks() -> Vec<BlockShape> {
    let mut inputs = STEM;
    let mut blocks = Vec::new();
    for (layer, (hidden, n_blocks, stride)) in (1..).zip(LAYERS) {
        for block in 0..n_blocks {
            blocks.push(BlockShape {
                path: format!("layer{layer}.{block}"),
                inputs,
                hidden,
                stride: if block == 0 { stride } else { 1 },
                projects: block == 0,
            });
            inputs = hidden * EXPANSION;
        }
    }
    blocks
}

#[derive(Debug)]
struct Block {
    convolutions: [ConvNorm; 3],
    shortcut: Option<ConvNorm>,
}

impl Block {
    fn new(root: &nn::Path, shape: &BlockShape) -> Self {
        let path = shape.path.split('.').fold(root.clone(), |path, part| &path / part);
        let [first, second, third] = shape.convolutions();
        let unit = |i: usize, shape| {
            ConvNorm::new(&(&path / format!("conv{i}")), &(&path / format!("bn{i}")), shape)
        };
        let projection = || ConvNorm::sequential(&(&path / "downsample"), shape.projection());
        Self {
            convolutions: [unit(1, first), unit(2, second), unit(3, third)],
            shortcut: shape.projects.then(projection),
        }
    }

    fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let [first, second, third] = &self.convolutions;
        let hidden = second.forward(&first.forward(x_nchw, train).relu(), train).relu();
        let shortcut = match &self.shortcut {
            Some(projection) => projection.forward(x_nchw, train),
            None => x_nchw.shallow_clone(),
        };
        (third.forward(&hidden, train) + shortcut).relu()
    }
}

#[derive(Debug)]
pub struct ResNet50 {
    stem: ConvNorm,
    blocks: Vec<Block>,
}

impl ResNet50 {
    pub fn new(path: &nn::Path) -> Self {
        let stem = ConvNorm::new(&(path / "conv1"), &(path / "bn1"), ConvShape::dense(3, STEM, 7).stride(2));
        Self { stem, blocks: blocks().iter().map(|shape| Block::new(path, shape)).collect() }
    }

    /// The feature map `[N, 2048, H/32, W/32]` of normalised images `[N, 3, H, W]`.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let stem = self.stem.forward(x_nchw, train).relu();
        let x = stem.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        self.blocks.iter().fold(x, |x, block| block.forward(&x, train))
    }
}
