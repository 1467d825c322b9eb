//! The layers that networks are made of, each of which `export` can write. No architecture is named here.

use tch::nn::init::{FanInOut, NonLinearity, NormalOrUniform};
use tch::nn::{self, ModuleT};
use tch::{Kind, Tensor};

/// Added to the variance by every batch normalisation.
pub const NORM_EPSILON: f64 = 1e-5;

/// Size of a convolution; its padding is always `kernel / 2`, so that stride alone decides the output's size.
#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// Side of the square kernel.
    pub kernel: i64,
    /// Step in both directions.
    pub stride: i64,
    /// Channel groups; `inputs` of them make a depthwise convolution.
    pub groups: i64,
    /// The fan whose Kaiming deviation (He et al. 2015) fresh weights are drawn with.
    pub fan: FanInOut,
}

impl ConvShape {
    /// A dense convolution of stride 1.
    pub const fn dense(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { inputs, outputs, kernel, stride: 1, groups: 1, fan: FanInOut::FanOut }
    }

    /// A convolution of each channel by itself.
    pub const fn depthwise(channels: i64, kernel: i64, stride: i64) -> Self {
        Self { inputs: channels, outputs: channels, kernel, stride, groups: channels, fan: FanInOut::FanOut }
    }

    /// The same with fresh weights that keep the forward pass's magnitude instead of the backward pass's.
    #[must_use]
    pub const fn fan_in(self) -> Self {
        Self { fan: FanInOut::FanIn, ..self }
    }

    /// The same with another stride.
    #[must_use]
    pub const fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }
}

/// A convolution without bias. It computes in its input's precision; its weights stay float32.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    shape: ConvShape,
}

impl Conv {
    /// Registers `weight` under `path`.
    pub fn new(path: &nn::Path, shape: ConvShape) -> Self {
        let size = [shape.outputs, shape.inputs / shape.groups, shape.kernel, shape.kernel];
        let weight = path.var(
            "weight",
            &size,
            nn::Init::Kaiming {
                dist: NormalOrUniform::Normal,
                fan: shape.fan,
                non_linearity: NonLinearity::ReLU,
            },
        );
        Self { weight, shape }
    }

    /// Applies it to `[N, inputs, H, W]`.
    pub fn forward(&self, x_nchw: &Tensor) -> Tensor {
        self.apply(x_nchw, None)
    }

    fn apply(&self, x_nchw: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let ConvShape { kernel, stride, groups, .. } = self.shape;
        let padding = kernel / 2;
        let weight = self.weight.to_kind(x_nchw.kind());
        let bias = bias.map(|bias| bias.to_kind(x_nchw.kind()));
        x_nchw.conv2d(&weight, bias, [stride, stride], [padding, padding], [1, 1], groups)
    }
}

/// Squeeze and excitation (Hu et al. 2018): channels are scaled by what two layers make of their means.
#[derive(Debug)]
pub struct SqueezeExcitation {
    squeeze: (Conv, Tensor),
    excite: (Conv, Tensor),
}

impl SqueezeExcitation {
    /// Registers `fc1` and `fc2`, 1x1 convolutions with bias, under `path`.
    pub fn new(path: &nn::Path, channels: i64, squeezed: i64) -> Self {
        let layer = |name: &str, shape: ConvShape| {
            let path = path / name;
            (Conv::new(&path, shape), path.var("bias", &[shape.outputs], nn::Init::Const(0.0)))
        };
        Self {
            squeeze: layer("fc1", ConvShape::dense(channels, squeezed, 1)),
            excite: layer("fc2", ConvShape::dense(squeezed, channels, 1)),
        }
    }

    /// Scales the channels of `[N, channels, H, W]`.
    pub fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let means = x_nchw.mean_dim([2i64, 3].as_slice(), true, x_nchw.kind());
        let squeezed = self.squeeze.0.apply(&means, Some(&self.squeeze.1)).silu();
        x_nchw * self.excite.0.apply(&squeezed, Some(&self.excite.1)).sigmoid()
    }
}

/// Batch normalisation over channels.
#[derive(Debug)]
pub struct Norm(nn::BatchNorm);

impl Norm {
    /// Registers `weight`, `bias`, `running_mean` and `running_var` under `path`.
    pub fn new(path: &nn::Path, channels: i64) -> Self {
        // tch draws the scale from Uniform(0, 1) by default; PyTorch and every published checkpoint start from 1.
        let config =
            nn::BatchNormConfig { ws_init: nn::Init::Const(1.0), eps: NORM_EPSILON, ..Default::default() };
        Self(nn::batch_norm2d(path, channels, config))
    }

    /// Applies it; in training it uses and updates the batch's own statistics.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        self.0.forward_t(x_nchw, train)
    }
}

/// A convolution and the normalisation after it.
#[derive(Debug)]
pub struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

impl ConvNorm {
    /// Registers both under their own paths.
    pub fn new(conv: &nn::Path, norm: &nn::Path, shape: ConvShape) -> Self {
        Self { conv: Conv::new(conv, shape), norm: Norm::new(norm, shape.outputs) }
    }

    /// Applies both.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        self.norm.forward(&self.conv.forward(x_nchw), train)
    }
}

/// Average pooling of 2x2 blocks. (`avg_pool2d_default` of tch 0.24 sums instead: it passes a divisor of 1.)
pub fn halve(x_nchw: &Tensor) -> Tensor {
    x_nchw.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)
}

/// Lays a tensor out channels-last without changing its shape; convolutions on a CPU are faster that way.
pub fn channels_last(x_nchw: &Tensor) -> Tensor {
    x_nchw.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Mean over rows and columns, in float32.
pub fn global_average(x_nchw: &Tensor) -> Tensor {
    x_nchw.mean_dim([2i64, 3].as_slice(), false, Kind::Float)
}
