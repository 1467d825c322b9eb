//! ResNet-50 (He et al. 2016) under torchvision's parameter names. As there (version 1.5), the 3x3 convolution of a
//! block halves the resolution, not the first 1x1.

use super::layers::{ConvNorm, ConvShape};
use tch::{Tensor, nn};

/// Channels of the last feature map.
pub const FEATURES: i64 = 2048;
/// Channels after the first convolution.
pub const STEM: i64 = 64;

/// One bottleneck block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockShape {
    /// Channels in.
    pub inputs: i64,
    /// Channels of the 3x3 convolution.
    pub width: i64,
    /// Channels out.
    pub outputs: i64,
    /// Stride of the 3x3 convolution.
    pub stride: i64,
}

impl BlockShape {
    /// Whether a convolution must make the input fit the output.
    pub const fn projects(&self) -> bool {
        self.stride != 1 || self.inputs != self.outputs
    }
}

/// The blocks of `layer1` to `layer4`.
pub fn layers() -> Vec<Vec<BlockShape>> {
    // Width, blocks, stride of the first block: table 1 of the paper. A block gives four times its width.
    const LAYERS: [(i64, i64, i64); 4] = [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)];
    let mut inputs = STEM;
    LAYERS
        .iter()
        .map(|(width, n_blocks, first_stride)| {
            (0..*n_blocks)
                .map(|position| {
                    let outputs = 4 * width;
                    let stride = if position == 0 { *first_stride } else { 1 };
                    let block = BlockShape { inputs, width: *width, outputs, stride };
                    inputs = outputs;
                    block
                })
                .collect()
        })
        .collect()
}

/// The stage of a parameter: the stem, then a layer each.
pub fn stage_of(name: &str) -> usize {
    let layer = name.strip_prefix("layer").and_then(|rest| rest.split('.').next());
    layer.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[derive(Debug)]
struct Block {
    narrow: ConvNorm,
    conv: ConvNorm,
    widen: ConvNorm,
    project: Option<ConvNorm>,
}

impl Block {
    fn new(path: &nn::Path, shape: BlockShape) -> Self {
        let BlockShape { inputs, width, outputs, stride } = shape;
        let unit = |number: usize, shape| {
            ConvNorm::new(&(path / format!("conv{number}")), &(path / format!("bn{number}")), shape)
        };
        let downsample = path / "downsample";
        Self {
            narrow: unit(1, ConvShape::dense(inputs, width, 1)),
            conv: unit(2, ConvShape::dense(width, width, 3).stride(stride)),
            widen: unit(3, ConvShape::dense(width, outputs, 1)),
            project: shape.projects().then(|| {
                let shape = ConvShape::dense(inputs, outputs, 1).stride(stride);
                ConvNorm::new(&(&downsample / 0), &(&downsample / 1), shape)
            }),
        }
    }

    fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let hidden = self.narrow.forward(x_nchw, train).relu();
        let hidden = self.conv.forward(&hidden, train).relu();
        let out = self.widen.forward(&hidden, train);
        let shortcut = match &self.project {
            Some(project) => project.forward(x_nchw, train),
            None => x_nchw.shallow_clone(),
        };
        (out + shortcut).relu()
    }
}

/// The convolutional part of the network.
#[derive(Debug)]
pub struct ResNet50 {
    stem: ConvNorm,
    layers: Vec<Vec<Block>>,
}

impl ResNet50 {
    /// Registers its parameters under `path`.
    pub fn new(path: &nn::Path) -> Self {
        let stem_shape = ConvShape::dense(3, STEM, 7).stride(2);
        let stem = ConvNorm::new(&(path / "conv1"), &(path / "bn1"), stem_shape);
        let layer = |(number, shapes): (usize, &Vec<BlockShape>)| {
            let layer = path / format!("layer{number}");
            shapes.iter().enumerate().map(|(i, shape)| Block::new(&(&layer / i), *shape)).collect()
        };
        Self { stem, layers: (1..).zip(&layers()).map(layer).collect() }
    }

    /// One stage of five; the last gives the feature map `[N, 2048, H/32, W/32]` of normalised images `[N, 3, H, W]`.
    pub fn stage(&self, number: usize, x_nchw: &Tensor, train: bool) -> Tensor {
        let Some(layer) = number.checked_sub(1) else {
            let stem = self.stem.forward(x_nchw, train).relu();
            return stem.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        };
        self.layers[layer].iter().fold(x_nchw.shallow_clone(), |x, block| block.forward(&x, train))
    }
}
