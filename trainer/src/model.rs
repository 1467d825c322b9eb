//! The networks: grey levels in; logits, class activation map and embedding out. No data, loss or optimiser here.

pub mod densenet;
pub mod head;
pub mod layers;
pub mod mobilenet;
pub mod weights;

use densenet::DenseNet121;
use head::Head;
use mobilenet::{FirstBlock, MobileNetV2};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

/// Mean of ImageNet's red, green and blue, as fractions of white.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviations.
pub const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// The networks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// MobileNetV2 whose first block has no expansion convolution (torchvision).
    #[serde(rename = "mobilenetv2")]
    MobileNetV2,
    /// MobileNetV2 whose first block has one (GluonCV, ONNX Model Zoo).
    #[serde(rename = "mobilenetv2-expanded")]
    MobileNetV2Expanded,
    /// DenseNet-121.
    #[serde(rename = "densenet121")]
    DenseNet121,
}

impl Architecture {
    /// The name used in configuration and bundles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MobileNetV2 => "mobilenetv2",
            Self::MobileNetV2Expanded => "mobilenetv2-expanded",
            Self::DenseNet121 => "densenet121",
        }
    }

    /// Length of the embedding.
    pub const fn features(self) -> i64 {
        match self {
            Self::MobileNetV2 | Self::MobileNetV2Expanded => mobilenet::FEATURES,
            Self::DenseNet121 => densenet::FEATURES,
        }
    }

    /// Side of the feature map for an input side. Five layers halve it: a padded convolution or maximum rounds up, an
    /// average of 2x2 blocks (three of DenseNet's) rounds down.
    pub const fn map_side(self, side: u32) -> u32 {
        match self {
            Self::MobileNetV2 | Self::MobileNetV2Expanded => side.div_ceil(32),
            Self::DenseNet121 => side.div_ceil(4) / 8,
        }
    }
}

/// Precision in which the convolutions compute; parameters and everything after the pooling are float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    Fp32,
    /// bfloat16, float32 accumulation.
    Bf16,
}

impl Precision {
    const fn kind(self) -> Kind {
        match self {
            Self::Fp32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

/// What a network says of a batch, in float32.
#[derive(Debug)]
pub struct Outputs {
    /// `[N, 1]`, before calibration.
    pub logits: Tensor,
    /// Class activation map, `[N, 1, H/32, W/32]`.
    pub cam: Tensor,
    /// Pooled features, `[N, D]`.
    pub embedding: Tensor,
}

#[derive(Debug)]
enum Backbone {
    MobileNetV2(MobileNetV2),
    DenseNet121(DenseNet121),
}

/// A network together with the store that owns its parameters.
#[derive(Debug)]
pub struct Network {
    parameters: nn::VarStore,
    backbone: Backbone,
    head: Head,
    mean: Tensor,
    deviation: Tensor,
    precision: Precision,
}

impl Network {
    /// A network with fresh parameters, drawn from libtorch's seeded generator.
    pub fn new(architecture: Architecture, dropout: f64, precision: Precision, device: Device) -> Self {
        let parameters = nn::VarStore::new(device);
        let root = parameters.root();
        let backbone = match architecture {
            Architecture::MobileNetV2 => Backbone::MobileNetV2(MobileNetV2::new(&root, FirstBlock::Plain)),
            Architecture::MobileNetV2Expanded => {
                Backbone::MobileNetV2(MobileNetV2::new(&root, FirstBlock::Expanded))
            }
            Architecture::DenseNet121 => Backbone::DenseNet121(DenseNet121::new(&root)),
        };
        let head = Head::new(&(&root / "classifier"), architecture.features(), dropout);
        // Grey levels are 0 to 255 and ImageNet's figures are fractions of white.
        let per_channel = |values: [f32; 3]| (Tensor::from_slice(&values) * 255.0).view([1, 3, 1, 1]).to_device(device);
        let (mean, deviation) = (per_channel(IMAGENET_MEAN), per_channel(IMAGENET_DEVIATION));
        Self { parameters, backbone, head, mean, deviation, precision }
    }

    /// The store of its parameters and buffers.
    pub const fn parameters(&self) -> &nn::VarStore {
        &self.parameters
    }

    /// Logits `[N, 1]` of grey levels 0 to 255, float32 `[N, 1, H, W]`; in training, dropout and batch statistics act.
    pub fn logits(&self, grey_nchw: &Tensor, train: bool) -> Tensor {
        self.head.logits(&self.features(grey_nchw, train), train)
    }

    /// All outputs for grey levels 0 to 255, float32 `[N, 1, H, W]`, without recording gradients.
    pub fn outputs(&self, grey_nchw: &Tensor) -> Outputs {
        tch::no_grad(|| self.head.outputs(&self.features(grey_nchw, false)))
    }

    fn features(&self, grey_nchw: &Tensor, train: bool) -> Tensor {
        let normalised = (grey_nchw - &self.mean) / &self.deviation;
        let x = layers::channels_last(&normalised.to_kind(self.precision.kind()));
        match &self.backbone {
            Backbone::MobileNetV2(network) => network.forward(&x, train),
            Backbone::DenseNet121(network) => network.forward(&x, train),
        }
    }
}
