//! The networks: grey levels in; logits, class activation map and embedding out.

pub mod densenet;
pub mod efficientnet;
mod grad_cam;
pub mod head;
pub mod layers;
pub mod logistic;
pub mod mobilenet;
pub mod resnet;
pub mod weights;

use anyhow::{Result, ensure};
use densenet::DenseNet121;
use efficientnet::EfficientNetB0;
use head::Head;
pub use head::Outputs;
use mobilenet::FirstBlock::{Expanded, Plain};
use mobilenet::MobileNetV2;
use resnet::ResNet50;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

/// Means and standard deviations of ImageNet's red, green and blue, as fractions of white.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// MobileNetV2 whose first block has no expansion convolution (torchvision).
    #[serde(rename = "mobilenetv2")]
    MobileNetV2,
    /// MobileNetV2 whose first block has one (GluonCV, ONNX Model Zoo).
    #[serde(rename = "mobilenetv2-expanded")]
    MobileNetV2Expanded,
    #[serde(rename = "densenet121")]
    DenseNet121,
    #[serde(rename = "resnet50")]
    ResNet50,
    #[serde(rename = "efficientnet-b0")]
    EfficientNetB0,
}

impl Architecture {
    pub const ALL: [Self; 5] = [
        Self::MobileNetV2,
        Self::MobileNetV2Expanded,
        Self::DenseNet121,
        Self::ResNet50,
        Self::EfficientNetB0,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MobileNetV2 => "mobilenetv2",
            Self::MobileNetV2Expanded => "mobilenetv2-expanded",
            Self::DenseNet121 => "densenet121",
            Self::ResNet50 => "resnet50",
            Self::EfficientNetB0 => "efficientnet-b0",
        }
    }

    /// Path prefixes of the backbone's parameters by stage, starting at the input. `freeze_depth` counts
    /// these stages.
    pub fn stages(self) -> Vec<Vec<String>> {
        let numbered = |n: usize| (0..n).map(|i| vec![format!("features.{i}")]).collect();
        let named = |stages: [&[&str]; 5]| {
            stages.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect()).to_vec()
        };
        match self {
            Self::MobileNetV2 | Self::MobileNetV2Expanded => numbered(19),
            Self::DenseNet121 => named([
                &["features.conv0", "features.norm0"],
                &["features.denseblock1", "features.transition1"],
                &["features.denseblock2", "features.transition2"],
                &["features.denseblock3", "features.transition3"],
                &["features.denseblock4", "features.norm5"],
            ]),
            Self::ResNet50 => named([&["conv1", "bn1"], &["layer1"], &["layer2"], &["layer3"], &["layer4"]]),
            Self::EfficientNetB0 => numbered(9),
        }
    }

    /// Stages between a parameter and the classifier, its own included; 0 for the classifier.
    pub fn stages_to_head(self, name: &str) -> usize {
        let stages = self.stages();
        let is_in =
            |path: &String| name.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('.'));
        stages.iter().position(|paths| paths.iter().any(is_in)).map_or(0, |stage| stages.len() - stage)
    }

    /// Length of the embedding.
    pub const fn features(self) -> i64 {
        match self {
            Self::MobileNetV2 | Self::MobileNetV2Expanded => mobilenet::FEATURES,
            Self::DenseNet121 => densenet::FEATURES,
            Self::ResNet50 => resnet::FEATURES,
            Self::EfficientNetB0 => efficientnet::FEATURES,
        }
    }

    /// Five layers halve the side: padded convolutions and max pooling round up, DenseNet's three average
    /// poolings round down.
    pub const fn map_side(self, side: u32) -> u32 {
        match self {
            Self::MobileNetV2 | Self::MobileNetV2Expanded | Self::ResNet50 | Self::EfficientNetB0 => {
                side.div_ceil(32)
            }
            Self::DenseNet121 => side.div_ceil(4) / 8,
        }
    }
}

/// Precision of the convolutions. Parameters, and everything after the pooling, are float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    Fp32,
    /// bfloat16 with float32 accumulation.
    Bf16,
}

#[derive(Debug)]
enum Backbone {
    MobileNetV2(MobileNetV2),
    DenseNet121(DenseNet121),
    ResNet50(ResNet50),
    EfficientNetB0(EfficientNetB0),
}

#[derive(Debug)]
pub struct Network {
    parameters: nn::VarStore,
    backbone: Backbone,
    head: Head,
    mean: Tensor,
    deviation: Tensor,
    precision: Precision,
    architecture: Architecture,
}

impl Network {
    /// Initial parameters come from libtorch's seeded generator.
    pub fn new(architecture: Architecture, dropout: f64, precision: Precision, device: Device) -> Self {
        let parameters = nn::VarStore::new(device);
        let root = parameters.root();
        let backbone = match architecture {
            Architecture::MobileNetV2 => Backbone::MobileNetV2(MobileNetV2::new(&root, Plain)),
            Architecture::MobileNetV2Expanded => Backbone::MobileNetV2(MobileNetV2::new(&root, Expanded)),
            Architecture::DenseNet121 => Backbone::DenseNet121(DenseNet121::new(&root)),
            Architecture::ResNet50 => Backbone::ResNet50(ResNet50::new(&root)),
            Architecture::EfficientNetB0 => Backbone::EfficientNetB0(EfficientNetB0::new(&root)),
        };
        let head = Head::new(&(&root / "classifier"), architecture.features(), dropout);
        // Grey levels run from 0 to 255; the ImageNet statistics are fractions of white.
        let per_channel =
            |values: [f32; 3]| (Tensor::from_slice(&values) * 255.0).view([1, 3, 1, 1]).to_device(device);
        let (mean, deviation) = (per_channel(IMAGENET_MEAN), per_channel(IMAGENET_DEVIATION));
        Self { parameters, backbone, head, mean, deviation, precision, architecture }
    }

    pub const fn parameters(&self) -> &nn::VarStore {
        &self.parameters
    }

    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Whether a tensor belongs to the classifier rather than the backbone.
    pub fn is_head(name: &str) -> bool {
        name.starts_with("classifier.")
    }

    /// Freezes the first `depth` stages of the backbone, or all of it for `None`, including batch statistics.
    pub fn freeze(&self, depth: Option<usize>) -> Result<()> {
        let stages = self.architecture.stages();
        let depth = depth.unwrap_or(stages.len());
        ensure!(
            depth <= stages.len(),
            "trainer.model.freeze_depth: {} has {} stages, {depth} cannot be frozen",
            self.architecture.name(),
            stages.len()
        );
        let frozen: Vec<String> = stages[..depth].iter().flatten().map(|path| format!("{path}.")).collect();
        for (name, tensor) in self.named_tensors() {
            let is_statistic = name.ends_with(".running_mean") || name.ends_with(".running_var");
            if !is_statistic {
                let _ = tensor.set_requires_grad(!frozen.iter().any(|path| name.starts_with(path)));
            }
        }
        Ok(())
    }

    /// Logits `[N, 1]` of grey levels 0 to 255, float32 `[N, 1, H, W]`. Training mode uses dropout and batch
    /// statistics.
    pub fn logits(&self, grey_nchw: &Tensor, train: bool) -> Tensor {
        self.head.logits(&self.features(grey_nchw, train), train)
    }

    /// All outputs for grey levels 0 to 255, float32 `[N, 1, H, W]`, without gradients.
    pub fn outputs(&self, grey_nchw: &Tensor) -> Outputs {
        tch::no_grad(|| self.head.outputs(&self.features(grey_nchw, false)))
    }

    fn features(&self, grey_nchw: &Tensor, train: bool) -> Tensor {
        let normalised = (grey_nchw - &self.mean) / &self.deviation;
        let kind = if self.precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        let x = layers::channels_last(&normalised.to_kind(kind));
        match &self.backbone {
            Backbone::MobileNetV2(network) => network.forward(&x, train),
            Backbone::DenseNet121(network) => network.forward(&x, train),
            Backbone::ResNet50(network) => network.forward(&x, train),
            Backbone::EfficientNetB0(network) => network.forward(&x, train),
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
            let cam = network.outputs(&images).cam;
            let difference = (network.grad_cam(&images) - &cam).abs().max().double_value(&[]);
            let largest = cam.abs().max().double_value(&[]);
            assert!(difference < 1e-4 * largest.max(1.0), "{}: {difference}", architecture.name());
        }
    }
}
