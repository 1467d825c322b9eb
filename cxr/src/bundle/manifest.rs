//! `bundle.json`: the types, and what a manifest must not contradict.

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

/// `bundle.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name, `cxr-pneumonia`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// RFC 3339.
    pub created: String,
    /// Commit of the trainer, where known.
    pub git_commit: Option<String>,
    /// Digest of every file but the manifest and the signature.
    pub files: BTreeMap<String, FileDigest>,
    /// Architecture and tensors.
    pub model: ModelContract,
    /// Class names: negative, positive.
    pub labels: [String; 2],
    /// Who and what it is for.
    pub intended_use: IntendedUse,
    /// Which images are accepted.
    pub acceptance: AcceptancePolicy,
    /// From accepted image to model input.
    pub preprocess: PreprocessSpec,
    /// The variant served unless configured otherwise.
    pub default_variant: String,
    /// Variants by name (`fp32`).
    pub variants: BTreeMap<String, Variant>,
    /// Measured figures.
    pub evaluation: Evaluation,
    /// Where it comes from.
    pub training: Provenance,
}

/// Size and SHA-256 of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// What the graph must look like; checked when a session is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelContract {
    /// `mobilenetv2`, `densenet121`, `resnet50`, `efficientnet-b0`.
    pub architecture: String,
    /// The input, `image`: uint8 `[N, 1, H, W]`.
    pub input: TensorSpec,
    /// `logits`, `cam`, `embedding`: float32.
    pub outputs: Vec<TensorSpec>,
}

/// Name, element type and shape of a tensor; `None` is the batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Tensor name in the graph.
    pub name: String,
    /// `uint8` or `float32`.
    pub dtype: String,
    /// Dimensions; `null` where any batch size fits.
    pub shape: Vec<Option<u32>>,
}

/// One numeric form of the model, with everything that must not be shared between forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The ONNX file.
    pub file: String,
    /// `fp32`, `int8`.
    pub precision: String,
    /// Images that must run together, where ONNX Runtime gives an image other bits in a batch of another size; absent
    /// where an image has the same bits in every batch, which the trainer has tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_batch: Option<u32>,
    /// Logit to probability.
    pub calibration: AffineCalibration,
    /// Probability to decision.
    pub policy: DecisionPolicy,
    /// The colour scale of this form's heatmaps, the same for every image; a variant without one gives no heatmaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heatmap: Option<HeatmapScale>,
    /// Known inputs with the logits that this form gives.
    pub golden: Vec<Golden>,
}

/// A model input stored as PNG and the logit it must give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Grey 8-bit PNG of exactly the model's input.
    pub file: String,
    /// The logit.
    pub logit: f32,
    /// Largest absolute difference that still counts as the same.
    pub tolerance: f32,
}

/// A measured value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Point estimate.
    pub value: f64,
    /// Bootstrap over patients, 2.5th and 97.5th percentile.
    pub ci95: [f64; 2],
    /// Images behind it (for sensitivity the positives, for specificity the negatives).
    pub n: usize,
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
    /// True positives over flagged.
    pub precision: Measured,
    /// Harmonic mean of precision and sensitivity.
    pub f1: Measured,
    /// Right over all.
    pub accuracy: Measured,
    /// Expected calibration error, 15 equal-width bins.
    pub ece: Measured,
    /// Mean squared error of the probability.
    pub brier: Measured,
}

/// Figures by fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The fold that chose the epoch.
    pub select: FoldEvaluation,
    /// The fold that fitted calibration and operating point: optimistic for both.
    pub calibrate: FoldEvaluation,
    /// The official test split; `None` where there is none.
    pub test: Option<FoldEvaluation>,
}

/// How the model came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Human name of the data.
    pub dataset: String,
    /// Digest over the sorted index of files and their digests.
    pub dataset_sha256: String,
    /// Digest of the frozen folds.
    pub split_sha256: String,
    /// Digest of the training configuration.
    pub config_sha256: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Images per fold.
    pub images: BTreeMap<String, usize>,
    /// Epoch whose weights were taken.
    pub epoch: usize,
    /// Processor or GPU.
    pub hardware: String,
    /// Versions of what computed it.
    pub libraries: BTreeMap<String, String>,
    /// Directory name of the run.
    pub run: String,
}

impl Manifest {
    /// The reference's file name.
    pub const REFERENCE: &'static str = "reference.json";
    /// The model card's file name.
    pub const CARD: &'static str = "MODEL_CARD.md";

    /// The first line of the bundle's model card: a card under another title describes another bundle.
    pub fn card_title(&self) -> String {
        format!("# {} {}", self.name, self.version)
    }

    pub(super) fn check_card(&self, card: &[u8]) -> Result<(), BundleError> {
        /// Enough to recognise a card by.
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
                    "variant {}: the heatmap's scale does not rise from a finite number",
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
