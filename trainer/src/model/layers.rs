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
    /// The fan of fresh weights, see [`fresh`].
    pub fan: FanInOut,
}

/// Fresh weights of a convolution as torchvision draws them: normal, with the deviation of He et al. 2015 for the fan that
/// the architecture counts (outputs; inputs in DenseNet).
pub const fn fresh(fan: FanInOut) -> nn::Init {
    nn::Init::Kaiming { dist: NormalOrUniform::Normal, fan, non_linearity: NonLinearity::ReLU }
}

impl ConvShape {
    /// A dense convolution of stride 1.
    pub const fn dense(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { inputs, outputs, kernel, stride: 1, groups: 1, fan: FanInOut::FanOut }
    }

    /// A 3x3 convolution of each channel by itself.
    pub const fn depthwise(channels: i64, stride: i64) -> Self {
        Self { stride, groups: channels, ..Self::dense(channels, channels, 3) }
    }

    /// The same with fresh weights by the fan of its inputs.
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
        let weight = path.var("weight", &size, fresh(shape.fan));
        Self { weight, shape }
    }

    /// Applies it to `[N, inputs, H, W]`.
    pub fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let ConvShape { kernel, stride, groups, .. } = self.shape;
        let padding = kernel / 2;
        let weight = self.weight.to_kind(x_nchw.kind());
        x_nchw.conv2d(&weight, None::<Tensor>, [stride, stride], [padding, padding], [1, 1], groups)
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

    /// Applies it; in training it uses and updates the batch's own statistics, unless its parameters are frozen.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let learns = self.0.ws.as_ref().is_some_and(Tensor::requires_grad);
        self.0.forward_t(x_nchw, train && learns)
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
