//! The layers of all networks. `onnx` can export each of them.

use tch::nn::init::{FanInOut, NonLinearity, NormalOrUniform};
use tch::nn::{self, ModuleT};
use tch::{Kind, Tensor};

/// Added to the variance by every batch normalisation.
pub const NORM_EPSILON: f64 = 1e-5;

#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    pub inputs: i64,
    pub outputs: i64,
    pub kernel: i64,
    pub stride: i64,
    /// Channel groups; as many as inputs make a depthwise convolution.
    pub groups: i64,
    /// Selects the initial weights, see [`kaiming_init`].
    pub fan: FanInOut,
}

/// torchvision's initial weights: normal, with the deviation of He et al. 2015. The architecture chooses the
/// fan: outputs, or inputs in DenseNet.
pub const fn kaiming_init(fan: FanInOut) -> nn::Init {
    nn::Init::Kaiming { dist: NormalOrUniform::Normal, fan, non_linearity: NonLinearity::ReLU }
}

impl ConvShape {
    pub const fn dense(inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self { inputs, outputs, kernel, stride: 1, groups: 1, fan: FanInOut::FanOut }
    }

    /// A 3x3 convolution of each channel by itself.
    pub const fn depthwise(channels: i64, stride: i64) -> Self {
        Self { stride, groups: channels, ..Self::dense(channels, channels, 3) }
    }

    #[must_use]
    pub const fn fan_in(self) -> Self {
        Self { fan: FanInOut::FanIn, ..self }
    }

    #[must_use]
    pub const fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }
}

#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    shape: ConvShape,
}

impl Conv {
    pub fn new(path: &nn::Path, shape: ConvShape) -> Self {
        let size = [shape.outputs, shape.inputs / shape.groups, shape.kernel, shape.kernel];
        let weight = path.var("weight", &size, kaiming_init(shape.fan));
        Self { weight, shape }
    }

    pub fn forward(&self, x_nchw: &Tensor) -> Tensor {
        let ConvShape { kernel, stride, groups, .. } = self.shape;
        let padding = kernel / 2;
        let weight = self.weight.to_kind(x_nchw.kind());
        x_nchw.conv2d(&weight, None::<Tensor>, [stride, stride], [padding, padding], [1, 1], groups)
    }
}

#[derive(Debug)]
pub struct Norm(nn::BatchNorm);

impl Norm {
    pub fn new(path: &nn::Path, channels: i64) -> Self {
        // tch draws the scale from Uniform(0, 1) by default; PyTorch and every published checkpoint start
        // from 1.
        let config =
            nn::BatchNormConfig { ws_init: nn::Init::Const(1.0), eps: NORM_EPSILON, ..Default::default() };
        Self(nn::batch_norm2d(path, channels, config))
    }

    /// Training mode uses and updates batch statistics, unless the parameters are frozen.
    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        let learns = self.0.ws.as_ref().is_some_and(Tensor::requires_grad);
        self.0.forward_t(x_nchw, train && learns)
    }
}

#[derive(Debug)]
pub struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

impl ConvNorm {
    pub fn new(conv: &nn::Path, norm: &nn::Path, shape: ConvShape) -> Self {
        Self { conv: Conv::new(conv, shape), norm: Norm::new(norm, shape.outputs) }
    }

    /// Registers the convolution under `path / 0` and the normalisation under `path / 1`.
    pub fn sequential(path: &nn::Path, shape: ConvShape) -> Self {
        Self::new(&(path / 0), &(path / 1), shape)
    }

    pub fn forward(&self, x_nchw: &Tensor, train: bool) -> Tensor {
        self.norm.forward(&self.conv.forward(x_nchw), train)
    }
}

/// `avg_pool2d_default` of tch 0.24 sums instead: it passes a divisor of 1.
pub fn avg_pool_2x2(x_nchw: &Tensor) -> Tensor {
    x_nchw.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)
}

/// Converts to the channels-last memory format, which is faster on a CPU. The shape stays NCHW.
pub fn channels_last(x_nchw: &Tensor) -> Tensor {
    x_nchw.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Mean over rows and columns, in float32.
pub fn global_average(x_nchw: &Tensor) -> Tensor {
    x_nchw.mean_dim([2i64, 3].as_slice(), false, Kind::Float)
}
