//! The names of the networks and what is known of each without building it.

use super::{densenet, efficientnet, mobilenet, resnet};
use serde::{Deserialize, Serialize};

/// Stages of every backbone: one for each halving of the resolution, the first layers first.
pub const N_STAGES: usize = 5;

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
    /// ResNet-50, version 1.5.
    #[serde(rename = "resnet50")]
    ResNet50,
    /// EfficientNet-B0.
    #[serde(rename = "efficientnet-b0")]
    EfficientNetB0,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::MobileNetV2,
        Self::MobileNetV2Expanded,
        Self::DenseNet121,
        Self::ResNet50,
        Self::EfficientNetB0,
    ];

    /// The name used in configuration and bundles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MobileNetV2 => "mobilenetv2",
            Self::MobileNetV2Expanded => "mobilenetv2-expanded",
            Self::DenseNet121 => "densenet121",
            Self::ResNet50 => "resnet50",
            Self::EfficientNetB0 => "efficientnet-b0",
        }
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

    /// Side of the feature map for an input side. Five layers halve it: a padded convolution or maximum rounds up, an
    /// average of 2x2 blocks (three of DenseNet's) rounds down.
    pub const fn map_side(self, side: u32) -> u32 {
        match self {
            Self::DenseNet121 => side.div_ceil(4) / 8,
            _ => side.div_ceil(32),
        }
    }

    /// What the names of a published file's classifier begin with.
    pub const fn published_classifier(self) -> &'static str {
        match self {
            Self::ResNet50 => "fc.",
            _ => "classifier.",
        }
    }

    /// The stage of a parameter, from its name; [`N_STAGES`] for the classifier.
    pub fn stage_of(self, name: &str) -> usize {
        match self {
            _ if name.starts_with("classifier.") => N_STAGES,
            Self::MobileNetV2 | Self::MobileNetV2Expanded => mobilenet::stage_of(name),
            Self::DenseNet121 => densenet::stage_of(name),
            Self::ResNet50 => resnet::stage_of(name),
            Self::EfficientNetB0 => efficientnet::stage_of(name),
        }
    }
}

/// The stage of a parameter `features.<child>...` where stage n begins with child `starts[n]`.
pub(super) fn stage_of_child(name: &str, starts: &[usize; N_STAGES]) -> usize {
    let child = name.split('.').nth(1).and_then(|child| child.parse::<usize>().ok()).unwrap_or(0);
    starts.iter().rposition(|start| child >= *start).unwrap_or(0)
}
