//! The networks: grey levels in; logits, class activation map and embedding out. No data, loss or optimiser here.

pub mod architecture;
pub mod densenet;
pub mod efficientnet;
pub mod head;
pub mod layers;
pub mod mobilenet;
pub mod resnet;
pub mod weights;

pub use architecture::{Architecture, N_STAGES};

use densenet::DenseNet121;
use efficientnet::EfficientNetB0;
use head::Head;
use mobilenet::{FirstBlock, MobileNetV2};
use resnet::ResNet50;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

/// Mean of ImageNet's red, green and blue, as fractions of white.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviations.
pub const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

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
    ResNet50(ResNet50),
    EfficientNetB0(EfficientNetB0),
}

/// A network together with the store that owns its parameters.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    parameters: nn::VarStore,
    backbone: Backbone,
    head: Head,
    mean: Tensor,
    deviation: Tensor,
    precision: Precision,
    n_frozen: usize,
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
            Architecture::ResNet50 => Backbone::ResNet50(ResNet50::new(&root)),
            Architecture::EfficientNetB0 => Backbone::EfficientNetB0(EfficientNetB0::new(&root)),
        };
        let head = Head::new(&(&root / "classifier"), architecture.features(), dropout);
        // Grey levels are 0 to 255 and ImageNet's figures are fractions of white.
        let per_channel =
            |values: [f32; 3]| (Tensor::from_slice(&values) * 255.0).view([1, 3, 1, 1]).to_device(device);
        let (mean, deviation) = (per_channel(IMAGENET_MEAN), per_channel(IMAGENET_DEVIATION));
        Self { architecture, parameters, backbone, head, mean, deviation, precision, n_frozen: 0 }
    }

    /// The store of its parameters and buffers.
    pub const fn parameters(&self) -> &nn::VarStore {
        &self.parameters
    }

    /// Keeps the first stages of the backbone from being trained: no gradient reaches them, and their normalisations
    /// neither use nor update a batch's statistics.
    pub const fn freeze(&mut self, n_stages: usize) {
        self.n_frozen = n_stages;
    }

    /// Which network it is.
    pub const fn architecture(&self) -> Architecture {
        self.architecture
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
        (0..N_STAGES).fold(x, |x, stage| {
            if stage < self.n_frozen {
                tch::no_grad(|| self.backbone.stage(stage, &x, false))
            } else {
                self.backbone.stage(stage, &x, train)
            }
        })
    }
}

impl Backbone {
    fn stage(&self, number: usize, x_nchw: &Tensor, train: bool) -> Tensor {
        match self {
            Self::MobileNetV2(network) => network.stage(number, x_nchw, train),
            Self::DenseNet121(network) => network.stage(number, x_nchw, train),
            Self::ResNet50(network) => network.stage(number, x_nchw, train),
            Self::EfficientNetB0(network) => network.stage(number, x_nchw, train),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_grad_cam_before_its_relu() {
        for architecture in Architecture::ALL {
            tch::manual_seed(3);
            let network = Network::new(architecture, 0.2, Precision::Fp32, Device::Cpu);
            let images = Tensor::rand([2, 1, 96, 96], (Kind::Float, Device::Cpu)) * 255.0;
            let features = network.features(&images, false).detach().set_requires_grad(true);
            network.head.logits(&features, false).sum(Kind::Float).backward();
            // Grad-CAM (Selvaraju et al. 2017): channels weighted by the mean gradient over the positions.
            let weights = features.grad().mean_dim([2i64, 3].as_slice(), true, Kind::Float);
            let grad_cam = (weights * &features).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
            let n_positions = (features.size()[2] * features.size()[3]) as f64;
            let cam = network.outputs(&images).cam;
            let difference = (grad_cam * n_positions - &cam).abs().max().double_value(&[]);
            let largest = cam.abs().max().double_value(&[]);
            assert!(difference < 1e-4 * largest.max(1.0), "{}: {difference}", architecture.name());
        }
    }
}
