//! EfficientNet-B0 (Tan and Le 2019) under torchvision's parameter names, without stochastic depth.

use super::layers::{ConvNorm, ConvShape, kaiming_init};
use tch::nn::init::FanInOut;
use tch::{Kind, Tensor, nn};

pub const FEATURES: i64 = 1280;
pub const STEM: i64 = 32;
pub const LAST: i64 = 320;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockShape {
    pub path: String,
    pub inputs: i64,
    pub hidden: i64,
    pub outputs: i64,
    pub kernel: i64,
    pub stride: i64,
}

impl BlockShape {
    pub const fn expands(&self) -> bool {
        self.hidden != self.inputs
    }

    pub const fn is_residual(&self) -> bool {
        self.stride == 1 && self.inputs == self.outputs
    }

    pub const fn depthwise(&self) -> ConvShape {
        ConvShape { kernel: self.kernel, ..ConvShape::depthwise(self.hidden, self.stride) }
    }

    /// Channels after the squeeze: a quarter of the block's input.
    pub const fn squeezed(&self) -> i64 {
        self.inputs / 4
    }
}

pub fn blocks() -> Vec<BlockShape> {
    // Expansion, kernel, first stride, channels, blocks: table 1 of the paper.
    const STAGES: [(i64, i64, i64, i64, i64); 7] = [
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, LAST, 1),
    ];
    let mut inputs = STEM;
    let mut blocks = Vec::new();
    for (stage, (expansion, kernel, stride, outputs, n_blocks)) in (1..).zip(STAGES) {
        for block in 0..n_blocks {
            blocks.push(BlockShape {
                path: format!("features.{stage}.{block}.block"),
                inputs,
                hidden: inputs * expansion,
                outputs,
                kernel,
                stride: if block == 0 { stride } else { 1 },
            });
            inputs = outputs;
        }
    }
    blocks
}

#[derive(Debug)]
struct Excitation {
    squeeze: nn::Conv2D,
    expand: nn::Conv2D,
}

impl Excitation {
    fn new(path: &nn::Path, channels: i64, squeezed: i64) -> Self {
        let config = nn::ConvConfig {
            ws_init: kaiming_init(FanInOut::FanOut),
            bs_init: nn::Init::Const(0.0),
            ..Default::default()
        };
        let conv = |name: &str, from, to| nn::conv2d(path / name, from, to, 1, config);
        Self { squeeze: conv("fc1", channels, squeezed), expand: conv("fc2", squeezed, channels) }
    }

    fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let mean = x_nchw.mean_dim([2i64, 3].as_slice(), true, Kind::Float);
        let weights = mean.apply(&self.squeeze).silu().apply(&self.expand).sigmoid();
        x_nchw * weights.to_kind(x_nchw.kind())
    }
}

#[derive(Debug)]
struct Block {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    excitation: Excitation,
    project: ConvNorm,
    is_residual: bool,
}

impl Block {
    fn new(root: &nn::Path, shape: &BlockShape) -> Self {
        let path = shape.path.split('.').fold(root.clone(), |path, part| &path / part);
        let unit = |index: usize, shape| ConvNorm::sequential(&(&path / index), shape);
        let first = usize::from(shape.expands());
        Self {
            expand: shape.expands().then(|| unit(0, ConvShape::dense(shape.inputs, shape.hidden, 1))),
            depthwise: unit(first, shape.depthwise()),
            excitation: Excitation::new(&(&path / (first + 1)), shape.hidden, shape.squeezed()),
            project: unit(first + 2, ConvShape::dense(shape.hidden, shape.outputs, 1)),
            is_residual: shape.is_residual(),
        }
    }

    fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let hidden = match &self.expand {
            Some(expand) => expand.forward(x_nchw, train).silu(),
            None => x_nchw.shallow_clone(),
        };
        let hidden = self.excitation.forward(&self.depthwise.forward(&hidden, train).silu());
        let out = self.project.forward(&hidden, train);
        if self.is_residual { out + x_nchw } else { out }
    }
}

#[derive(Debug)]
pub struct EfficientNetB0 {
    stem: ConvNorm,
    blocks: Vec<Block>,
    last: ConvNorm,
}

impl EfficientNetB0 {
    pub fn new(path: &nn::Path) -> Self {
        let features = path / "features";
        let unit = |index: usize, shape| ConvNorm::sequential(&(&features / index), shape);
        Self {
            stem: unit(0, ConvShape::dense(3, STEM, 3).stride(2)),
            blocks: blocks().iter().map(|shape| Block::new(path, shape)).collect(),
            last: unit(8, ConvShape::dense(LAST, FEATURES, 1)),
        }
    }

    /// The feature map `[N, 1280, H/32, W/32]` of normalised images `[N, 3, H, W]`.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let stem = self.stem.forward(x_nchw, train).silu();
        let features = self.blocks.iter().fold(stem, |x, block| block.forward(&x, train));
        self.last.forward(&features, train).silu()
    }
}
