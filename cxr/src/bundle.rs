//! The model bundle: the contract between trainer and service. Types, digests, signature; reading is a closure.

use crate::calibrate::AffineCalibration;
use crate::decide::{DecisionPolicy, IntendedUse};
use crate::preprocess::PreprocessSpec;
use crate::reference::Reference;
use crate::validate::AcceptancePolicy;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The version of the layout described here.
pub const SCHEMA_VERSION: u32 = 1;
/// The manifest's file name.
pub const MANIFEST: &str = "bundle.json";
/// The signature's file name.
pub const SIGNATURE: &str = "signature";
/// The largest manifest that is read, in bytes.
const MAX_MANIFEST_BYTES: usize = 4 << 20;

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
    /// `mobilenetv2`, `densenet121`.
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
    /// Logit to probability.
    pub calibration: AffineCalibration,
    /// Probability to decision.
    pub policy: DecisionPolicy,
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

/// The file `signature`: Ed25519 over `cxr-bundle-v1\n` and the hexadecimal SHA-256 of `bundle.json`, which in turn
/// lists the digest of every other file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSignature {
    /// First 16 hexadecimal digits of the SHA-256 of the public key.
    pub key_id: String,
    /// 64 bytes, hexadecimal.
    pub ed25519: String,
}

/// What to require of a signature.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Digests only.
    Unsigned,
    /// Signed by one of these keys.
    SignedBy(Vec<VerifyingKey>),
}

/// A bundle whose every byte has been checked. Only [`Bundle::open`] builds it.
#[derive(Debug, Clone)]
pub struct Bundle {
    manifest: Manifest,
    digest: String,
    reference: Reference,
    signed_by: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
}

/// Why a bundle is refused; every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file is missing or unreadable.
    #[error("{file}: cannot be read")]
    Read {
        /// File inside the bundle.
        file: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file's digest or length is not what the manifest says.
    #[error(
        "{file}: SHA-256 is {found}, the manifest says {expected}: the file was changed or damaged; fetch the bundle again"
    )]
    Digest {
        /// File inside the bundle.
        file: String,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A JSON file does not have the expected form.
    #[error("{file}: not a valid cxr bundle file")]
    Json {
        /// File inside the bundle.
        file: String,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// The manifest contradicts itself or this version of cxr.
    #[error("{MANIFEST}: {what}")]
    Manifest {
        /// What is wrong.
        what: String,
    },
    /// The signature is missing, malformed, by an unknown key or wrong.
    #[error("{SIGNATURE}: {what}")]
    Signature {
        /// What is wrong.
        what: String,
    },
}

impl Bundle {
    /// Reads and checks a whole bundle. `read` returns the bytes of a file given its name relative to the bundle.
    ///
    /// # Errors
    /// See [`BundleError`]; the first thing that does not match is named.
    pub fn open(
        mut read: impl FnMut(&str) -> std::io::Result<Vec<u8>>,
        trust: &Trust,
    ) -> Result<Self, BundleError> {
        let mut fetch =
            |file: &str| read(file).map_err(|source| BundleError::Read { file: file.into(), source });
        let manifest_bytes = fetch(MANIFEST)?;
        if manifest_bytes.len() > MAX_MANIFEST_BYTES {
            return Err(BundleError::Manifest { what: format!("larger than {MAX_MANIFEST_BYTES} bytes") });
        }
        let digest = sha256_hex(&manifest_bytes);
        let signature = match fetch(SIGNATURE) {
            Ok(bytes) => Some(bytes),
            Err(BundleError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let signed_by = check_signature(signature.as_deref(), &digest, trust)?;
        let manifest: Manifest = parse_json(MANIFEST, &manifest_bytes)?;
        manifest.check()?;
        let mut files = BTreeMap::new();
        for (name, expected) in &manifest.files {
            let bytes = fetch(name)?;
            let found = sha256_hex(&bytes);
            if found != expected.sha256 || bytes.len() as u64 != expected.bytes {
                return Err(BundleError::Digest {
                    file: name.clone(),
                    expected: expected.sha256.clone(),
                    found,
                });
            }
            files.insert(name.clone(), bytes);
        }
        let reference = parse_json(Manifest::REFERENCE, &files[Manifest::REFERENCE])?;
        Ok(Self { manifest, digest, reference, signed_by, files })
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    /// SHA-256 of `bundle.json`: identifies the bundle as a whole.
    pub fn digest(&self) -> &str {
        &self.digest
    }
    /// Key id of the trusted key that signed it.
    pub fn signed_by(&self) -> Option<&str> {
        self.signed_by.as_deref()
    }
    /// What monitoring compares with.
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }
    /// A checked file's bytes; `None` for a name that the manifest does not list.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }
    /// A variant by name, or the default one.
    ///
    /// # Errors
    /// Names the variants there are.
    pub fn variant(&self, name: Option<&str>) -> Result<(&str, &Variant), BundleError> {
        let name = name.unwrap_or(&self.manifest.default_variant);
        self.manifest.variants.get_key_value(name).map(|(k, v)| (k.as_str(), v)).ok_or_else(|| {
            BundleError::Manifest {
                what: format!(
                    "no variant {name:?}; there are {:?}",
                    self.manifest.variants.keys().collect::<Vec<_>>()
                ),
            }
        })
    }
}

impl Manifest {
    /// The reference's file name.
    pub const REFERENCE: &'static str = "reference.json";

    fn check(&self) -> Result<(), BundleError> {
        let fail = |what: String| Err(BundleError::Manifest { what });
        if self.schema_version != SCHEMA_VERSION {
            return fail(format!(
                "schema version {}, this program reads {SCHEMA_VERSION}",
                self.schema_version
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
        let mut needed = vec![Self::REFERENCE];
        for variant in self.variants.values() {
            needed.push(&variant.file);
            needed.extend(variant.golden.iter().map(|g| g.file.as_str()));
            if variant.golden.is_empty() {
                return fail(format!("variant {} has no golden outputs to prove it with", variant.file));
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

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Identifies a public key: the first 16 hexadecimal digits of its SHA-256.
pub fn key_id(key: &VerifyingKey) -> String {
    sha256_hex(key.as_bytes())[..16].to_owned()
}

/// Signs the bytes of a `bundle.json`.
pub fn sign(manifest_bytes: &[u8], key: &SigningKey) -> BundleSignature {
    let signature = key.sign(&signed_message(&sha256_hex(manifest_bytes)));
    BundleSignature { key_id: key_id(&key.verifying_key()), ed25519: hex::encode(signature.to_bytes()) }
}

fn signed_message(digest: &str) -> Vec<u8> {
    format!("cxr-bundle-v1\n{digest}\n").into_bytes()
}

fn check_signature(file: Option<&[u8]>, digest: &str, trust: &Trust) -> Result<Option<String>, BundleError> {
    let fail = |what: String| Err(BundleError::Signature { what });
    let Trust::SignedBy(keys) = trust else { return Ok(None) };
    let Some(file) = file else {
        return fail("missing, but a public key is configured and so required".into());
    };
    let signature: BundleSignature = parse_json(SIGNATURE, file)?;
    let Some(key) = keys.iter().find(|key| key_id(key) == signature.key_id) else {
        let known: Vec<String> = keys.iter().map(key_id).collect();
        return fail(format!("signed by key {:?}, the configured keys are {known:?}", signature.key_id));
    };
    let bytes = hex::decode(&signature.ed25519).ok().and_then(|b| Signature::from_slice(&b).ok());
    let Some(bytes) = bytes else { return fail("not 64 bytes of hexadecimal".into()) };
    if key.verify_strict(&signed_message(digest), &bytes).is_err() {
        return fail(format!(
            "does not match {MANIFEST} (SHA-256 {digest}): the manifest was changed after signing"
        ));
    }
    Ok(Some(signature.key_id))
}

fn parse_json<T: serde::de::DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, BundleError> {
    serde_json::from_slice(bytes).map_err(|source| BundleError::Json { file: file.into(), source })
}
