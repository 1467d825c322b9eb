//! EfficientNet-B0 (Tan and Le 2019) under torchvision's parameter names, without stochastic depth.

use super::N_STAGES;
use super::architecture::stage_of_child;
use super::layers::{ConvNorm, ConvShape, SqueezeExcitation};
use tch::{Tensor, nn};

/// Channels of the last feature map.
pub const FEATURES: i64 = 1280;
/// Channels after the first convolution.
pub const STEM: i64 = 32;

/// The child of `features` that each stage begins with, as far as its resolution is concerned.
const STAGE_STARTS: [usize; N_STAGES] = [0, 2, 3, 4, 6];

/// The stage of a parameter `features.<child>...`.
pub fn stage_of(name: &str) -> usize {
    stage_of_child(name, &STAGE_STARTS)
}

/// One mobile inverted bottleneck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockShape {
    /// Channels in.
    pub inputs: i64,
    /// Channels inside.
    pub hidden: i64,
    /// Channels out.
    pub outputs: i64,
    /// Side of the depthwise kernel.
    pub kernel: i64,
    /// Stride of the depthwise convolution.
    pub stride: i64,
}

impl BlockShape {
    /// Whether a 1x1 convolution leads to the hidden channels.
    pub const fn expands(&self) -> bool {
        self.hidden != self.inputs
    }

    /// Channels that squeeze and excitation squeezes to: a quarter of the block's input.
    pub const fn squeezed(&self) -> i64 {
        self.inputs / 4
    }

    /// Whether the input is added to the output.
    pub const fn is_residual(&self) -> bool {
        self.stride == 1 && self.inputs == self.outputs
    }
}

/// The blocks of `features.1` to `features.7`.
pub fn groups() -> Vec<Vec<BlockShape>> {
    // Expansion, kernel, stride of the first block, channels, blocks: table 1 of the paper.
    const GROUPS: [(i64, i64, i64, i64, i64); 7] = [
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ];
    let mut inputs = STEM;
    GROUPS
        .iter()
        .map(|(expansion, kernel, first_stride, outputs, n_blocks)| {
            (0..*n_blocks)
                .map(|position| {
                    let stride = if position == 0 { *first_stride } else { 1 };
                    let (hidden, kernel) = (inputs * expansion, *kernel);
                    let block = BlockShape { inputs, hidden, outputs: *outputs, kernel, stride };
                    inputs = *outputs;
                    block
                })
                .collect()
        })
        .collect()
}

#[derive(Debug)]
struct Block {
    shape: BlockShape,
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    excitation: SqueezeExcitation,
    project: ConvNorm,
}

impl Block {
    fn new(path: &nn::Path, shape: BlockShape) -> Self {
        let block = path / "block";
        let BlockShape { inputs, hidden, outputs, kernel, stride } = shape;
        let unit = |index: usize, conv_shape| {
            let unit = &block / index;
            ConvNorm::new(&(&unit / 0), &(&unit / 1), conv_shape)
        };
        let next = usize::from(shape.expands());
        Self {
            shape,
            expand: shape.expands().then(|| unit(0, ConvShape::dense(inputs, hidden, 1))),
            depthwise: unit(next, ConvShape::depthwise(hidden, kernel, stride)),
            excitation: SqueezeExcitation::new(&(&block / (next + 1)), hidden, shape.squeezed()),
            project: unit(next + 2, ConvShape::dense(hidden, outputs, 1)),
        }
    }

    fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let hidden = match &self.expand {
            Some(expand) => expand.forward(x_nchw, train).silu(),
            None => x_nchw.shallow_clone(),
        };
        let hidden = self.depthwise.forward(&hidden, train).silu();
        let out = self.project.forward(&self.excitation.forward(&hidden), train);
        if self.shape.is_residual() { out + x_nchw } else { out }
    }
}

/// The convolutional part of the network.
#[derive(Debug)]
pub struct EfficientNetB0 {
    stem: ConvNorm,
    groups: Vec<Vec<Block>>,
    last: ConvNorm,
}

impl EfficientNetB0 {
    /// Registers its parameters under `path / "features"`.
    pub fn new(path: &nn::Path) -> Self {
        let features = path / "features";
        let unit = |index: usize, shape| {
            let unit = &features / index;
            ConvNorm::new(&(&unit / 0), &(&unit / 1), shape)
        };
        let stem = unit(0, ConvShape::dense(3, STEM, 3).stride(2));
        let group = |(child, shapes): (usize, &Vec<BlockShape>)| {
            let group = &features / child;
            shapes.iter().enumerate().map(|(i, shape)| Block::new(&(&group / i), *shape)).collect()
        };
        let groups: Vec<Vec<Block>> = (1..).zip(&groups()).map(group).collect();
        let last = unit(groups.len() + 1, ConvShape::dense(320, FEATURES, 1));
        Self { stem, groups, last }
    }

    /// One stage of five; the last gives the feature map `[N, 1280, H/32, W/32]` of normalised images `[N, 3, H, W]`.
    pub fn stage(&self, number: usize, x_nchw: &Tensor, train: bool) -> Tensor {
        let end = STAGE_STARTS.get(number + 1).copied().unwrap_or(self.groups.len() + 1);
        // Child 0 is the stem, child n group n - 1.
        let (first, mut x) = if number == 0 {
            (1, self.stem.forward(x_nchw, train).silu())
        } else {
            (STAGE_STARTS[number], x_nchw.shallow_clone())
        };
        for block in self.groups[first - 1..end - 1].iter().flatten() {
            x = block.forward(&x, train);
        }
        if number + 1 == N_STAGES { self.last.forward(&x, train).silu() } else { x }
    }
}
