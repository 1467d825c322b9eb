//! MobileNetV2 (Sandler et al. 2018), width 1.0, under torchvision's parameter names.

use super::layers::{ConvNorm, ConvShape};
use tch::{Tensor, nn};

pub const FEATURES: i64 = 1280;
pub const STEM: i64 = 32;

/// The first bottleneck, which differs between published weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBlock {
    /// No expansion convolution (torchvision, and the paper's expansion factor of 1).
    Plain,
    /// A 1x1 expansion convolution that expands by 1 (GluonCV and the ONNX Model Zoo).
    Expanded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockShape {
    pub inputs: i64,
    pub hidden: i64,
    pub outputs: i64,
    pub stride: i64,
    pub expands: bool,
}

impl BlockShape {
    pub const fn is_residual(&self) -> bool {
        self.stride == 1 && self.inputs == self.outputs
    }
}

pub fn blocks(first: FirstBlock) -> Vec<BlockShape> {
    // Expansion, channels, repetitions, stride of the first repetition: table 2 of the paper.
    const STAGES: [(i64, i64, i64, i64); 7] = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let mut inputs = STEM;
    let mut blocks = Vec::new();
    for (expansion, outputs, n_blocks, first_stride) in STAGES {
        for position in 0..n_blocks {
            blocks.push(BlockShape {
                inputs,
                hidden: inputs * expansion,
                outputs,
                stride: if position == 0 { first_stride } else { 1 },
                expands: expansion > 1 || first == FirstBlock::Expanded,
            });
            inputs = outputs;
        }
    }
    blocks
}

#[derive(Debug)]
struct Block {
    shape: BlockShape,
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    project: ConvNorm,
}

impl Block {
    fn new(path: &nn::Path, shape: BlockShape) -> Self {
        let conv = path / "conv";
        let unit = |index: usize, conv_shape| ConvNorm::sequential(&(&conv / index), conv_shape);
        let expand = shape.expands.then(|| unit(0, ConvShape::dense(shape.inputs, shape.hidden, 1)));
        let next = usize::from(shape.expands);
        let depthwise = unit(next, ConvShape::depthwise(shape.hidden, shape.stride));
        let project_shape = ConvShape::dense(shape.hidden, shape.outputs, 1);
        let project = ConvNorm::new(&(&conv / (next + 1)), &(&conv / (next + 2)), project_shape);
        Self { shape, expand, depthwise, project }
    }

    fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let hidden = match &self.expand {
            Some(expand) => expand.forward(x_nchw, train).relu6(),
            None => x_nchw.shallow_clone(),
        };
        let out = self.project.forward(&self.depthwise.forward(&hidden, train).relu6(), train);
        if self.shape.is_residual() { out + x_nchw } else { out }
    }
}

#[derive(Debug)]
pub struct MobileNetV2 {
    stem: ConvNorm,
    blocks: Vec<Block>,
    last: ConvNorm,
}

impl MobileNetV2 {
    pub fn new(path: &nn::Path, first: FirstBlock) -> Self {
        let features = path / "features";
        let unit = |index: usize, shape| ConvNorm::sequential(&(&features / index), shape);
        let shapes = blocks(first);
        let stem = unit(0, ConvShape::dense(3, STEM, 3).stride(2));
        let last = unit(shapes.len() + 1, ConvShape::dense(320, FEATURES, 1));
        let blocks =
            shapes.iter().enumerate().map(|(i, shape)| Block::new(&(&features / (i + 1)), *shape)).collect();
        Self { stem, blocks, last }
    }

    /// The feature map `[N, 1280, H/32, W/32]` of normalised images `[N, 3, H, W]`.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let stem = self.stem.forward(x_nchw, train).relu6();
        let features = self.blocks.iter().fold(stem, |x, block| block.forward(&x, train));
        self.last.forward(&features, train).relu6()
    }
}
