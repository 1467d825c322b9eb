//! The types of `bundle.json` and their consistency checks.

use super::{BundleError, MANIFEST, SCHEMA_VERSION, SIGNATURE};
use crate::calibrate::AffineCalibration;
use crate::decide::DecisionPolicy;
use crate::heatmap::HeatmapScale;
use crate::intended_use::IntendedUse;
use crate::preprocess::PreprocessSpec;
use crate::validate::AcceptancePolicy;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Contents of `bundle.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Must equal [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the model, such as `cxr-pneumonia`.
    pub name: String,
    pub version: String,
    /// Time of creation, RFC 3339.
    pub created: String,
    /// Git commit of the trainer, if known.
    pub git_commit: Option<String>,
    /// Length and digest of every file except the manifest and the signature.
    pub files: BTreeMap<String, FileDigest>,
    /// Architecture and tensors of the graphs.
    pub model: ModelContract,
    /// Class names: negative, then positive.
    pub labels: [String; 2],
    /// Patients, views and modalities that the model is released for.
    pub intended_use: IntendedUse,
    /// Limits that a decoded image must meet.
    pub acceptance: AcceptancePolicy,
    /// Steps from an accepted image to the model's input.
    pub preprocess: PreprocessSpec,
    /// Name of the variant that the service loads unless configured otherwise.
    pub default_variant: String,
    /// Variants by name, such as `fp32`.
    pub variants: BTreeMap<String, Variant>,
    /// Performance by fold.
    pub evaluation: Evaluation,
    /// Data, configuration and software that produced the model.
    pub training: Provenance,
}

/// Size and SHA-256 of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Tensors that every graph of the bundle must have; checked when a session is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelContract {
    /// `mobilenetv2`, `densenet121`, `resnet50`, `efficientnet-b0`.
    pub architecture: String,
    /// Input tensor `image`: uint8 `[N, 1, H, W]`.
    pub input: TensorSpec,
    /// Output tensors `logits`, `cam` and `embedding`: float32.
    pub outputs: Vec<TensorSpec>,
}

/// Name, element type and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Tensor name in the graph.
    pub name: String,
    /// `uint8` or `float32`.
    pub dtype: String,
    /// Dimensions; `null` for the batch dimension.
    pub shape: Vec<Option<u32>>,
}

/// One graph of the bundle, with its own calibration, policy and golden outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// File name of the ONNX graph.
    pub file: String,
    /// Precision of the weights: `fp32` or `int8`.
    pub precision: String,
    /// Batch size that the graph must run with, if ONNX Runtime's output for an image depends on the batch
    /// size. Absent if the trainer found the same bits in every batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_batch: Option<u32>,
    /// Logit to probability.
    pub calibration: AffineCalibration,
    /// Probability to decision.
    pub policy: DecisionPolicy,
    /// Colour scale of the heatmaps, the same for every image. A variant without one gives no heatmaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heatmap: Option<HeatmapScale>,
    /// Golden outputs of this variant.
    pub golden: Vec<Golden>,
}

/// A model input and the logit that the variant must reproduce for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// File name of an 8-bit grey PNG of the model's input size.
    pub file: String,
    /// Expected logit.
    pub logit: f32,
    /// Largest accepted absolute difference.
    pub tolerance: f32,
}

/// A measured value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    pub value: f64,
    /// 2.5th and 97.5th percentile of a bootstrap over patients; for `ece` see [`EceKind`].
    pub ci95: [f64; 2],
    /// Number of images: the positives for sensitivity, the negatives for specificity.
    pub n: usize,
}

/// What the field `ece` of a [`FoldEvaluation`] holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EceKind {
    /// Mean absolute gap of the sample over 15 bins of equal width, with a percentile interval that does not
    /// cover where the error is small. In bundles without the field `ece_kind`.
    #[default]
    PlugIn,
    /// `cxr::analysis::scoring::calibration_error`: l2 norm over bins of equal count, with an interval that
    /// covers.
    L2,
}

impl EceKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    fn is_plug_in(&self) -> bool {
        *self == Self::PlugIn
    }
}

/// Figures of one fold at the bundle's operating point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldEvaluation {
    /// Area under the ROC curve.
    pub auc: Measured,
    /// True positives over positives.
    pub sensitivity: Measured,
    /// True negatives over negatives.
    pub specificity: Measured,
    /// True positives over positive calls.
    pub precision: Measured,
    /// Harmonic mean of precision and sensitivity.
    pub f1: Measured,
    /// Correct calls over all images.
    pub accuracy: Measured,
    /// Expected calibration error.
    pub ece: Measured,
    #[serde(default, skip_serializing_if = "EceKind::is_plug_in")]
    pub ece_kind: EceKind,
    /// Brier score: mean squared error of the probability.
    pub brier: Measured,
}

/// Performance by fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Fold on which the epoch was chosen.
    pub select: FoldEvaluation,
    /// Fold on which calibration and operating point were fitted: optimistic for both.
    pub calibrate: FoldEvaluation,
    /// Official test split; `None` if the data set has none.
    pub test: Option<FoldEvaluation>,
}

/// Data, configuration and software that produced the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the data set.
    pub dataset: String,
    /// SHA-256 over the sorted index of files and their digests.
    pub dataset_sha256: String,
    /// SHA-256 of the frozen folds.
    pub split_sha256: String,
    /// SHA-256 of the training configuration.
    pub config_sha256: String,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Images per fold.
    pub images: BTreeMap<String, usize>,
    /// Epoch whose weights were exported.
    pub epoch: usize,
    /// Processor or GPU that trained the model.
    pub hardware: String,
    /// Versions of the libraries.
    pub libraries: BTreeMap<String, String>,
    /// Name of the run directory.
    pub run: String,
}

impl Manifest {
    /// File name of the reference.
    pub const REFERENCE: &'static str = "reference.json";
    /// File name of the model card.
    pub const CARD: &'static str = "MODEL_CARD.md";

    /// First line of the bundle's model card. A card with another title describes another bundle.
    pub fn card_title(&self) -> String {
        format!("# {} {}", self.name, self.version)
    }

    pub(super) fn check_card(&self, card: &[u8]) -> Result<(), BundleError> {
        /// Bytes of a wrong title that the error shows.
        const SHOWN: usize = 120;
        let line = card.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
        let title = self.card_title();
        if line == title.as_bytes() {
            return Ok(());
        }
        let found = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
        Err(BundleError::Card {
            what: format!(
                "its first line is {found:?}, expected {title:?}: the card describes another bundle"
            ),
        })
    }

    pub(super) fn check(&self) -> Result<(), BundleError> {
        let fail = |what: String| Err(BundleError::Manifest { what });
        if self.schema_version != SCHEMA_VERSION {
            return fail(format!(
                "schema version {}, this program reads {SCHEMA_VERSION}",
                self.schema_version
            ));
        }
        if let Err(error) = Version::parse(&self.version) {
            return fail(format!(
                "version {:?} is not a semantic version such as 1.2.0: {error}",
                self.version
            ));
        }
        for name in self.files.keys() {
            let plain = |part: &str| {
                !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', ':', '\0'])
            };
            if !name.split('/').all(plain) || name == MANIFEST || name == SIGNATURE {
                return fail(format!("{name:?} is not a file name inside the bundle"));
            }
        }
        let mut needed = vec![Self::REFERENCE, Self::CARD];
        for variant in self.variants.values() {
            needed.push(&variant.file);
            needed.extend(variant.golden.iter().map(|g| g.file.as_str()));
            if variant.golden.is_empty() {
                return fail(format!("variant {} has no golden outputs to prove it with", variant.file));
            }
            if variant.fixed_batch == Some(0) {
                return fail(format!("variant {}: a fixed batch of no images", variant.file));
            }
            if variant.heatmap.as_ref().is_some_and(|scale| !scale.is_valid()) {
                return fail(format!(
                    "variant {}: heatmap scale: low and high must be finite, low < high",
                    variant.file
                ));
            }
            let (p, c) = (&variant.policy, &variant.calibration);
            let finite =
                [p.threshold, p.review_band.low, p.review_band.high, p.ood_threshold, c.scale, c.bias];
            if finite.iter().any(|v| !v.is_finite()) || !(0.0..=1.0).contains(&p.threshold) || c.scale <= 0.0
            {
                return fail(format!("variant {}: calibration or policy out of range", variant.file));
            }
        }
        if let Some(missing) = needed.iter().find(|name| !self.files.contains_key(**name)) {
            return fail(format!("{missing} is used but not listed under files"));
        }
        if !self.variants.contains_key(&self.default_variant) {
            return fail(format!("default_variant {:?} is not among the variants", self.default_variant));
        }
        self.preprocess.check().map_err(|what| BundleError::Manifest { what })?;
        let size = [None, Some(1), Some(self.preprocess.height), Some(self.preprocess.width)];
        if self.model.input.shape != size || self.model.input.dtype != "uint8" {
            return fail("the model's input is not the preprocessing's output".into());
        }
        Ok(())
    }
}
