//! The model bundle, the contract between trainer and service. [`Bundle::open`] is the only code that decides
//! whether a bundle is valid. It reads files through a closure.

mod manifest;
mod signature;

pub use manifest::{
    EceKind, Evaluation, FileDigest, FoldEvaluation, Golden, Manifest, Measured, ModelContract, Provenance,
    TensorSpec, Variant,
};
pub use signature::{BundleSignature, Trust, key_id, sign};

use crate::reference::Reference;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Version of the bundle layout that this crate reads.
pub const SCHEMA_VERSION: u32 = 1;
/// File name of the manifest.
pub const MANIFEST: &str = "bundle.json";
/// File name of the signature.
pub const SIGNATURE: &str = "signature";
/// Largest manifest, in bytes.
const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// A bundle whose digests, manifest and signature were checked. Only [`Bundle::open`] builds it.
#[derive(Debug, Clone)]
pub struct Bundle {
    manifest: Manifest,
    digest: String,
    reference: Reference,
    signed_by: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
}

/// Why a bundle is rejected. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file is missing or unreadable.
    #[error("{file}: cannot be read")]
    Read {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// A file's digest or length differs from the manifest.
    #[error(
        "{file}: SHA-256 is {found}, the manifest says {expected}: the file was changed or damaged; fetch the bundle again"
    )]
    Digest {
        file: String,
        /// Digest in the manifest.
        expected: String,
        /// Digest of the file.
        found: String,
    },
    /// A JSON file does not have the expected form.
    #[error("{file}: not a valid cxr bundle file")]
    Json {
        file: String,
        #[source]
        source: serde_json::Error,
    },
    /// The manifest contradicts itself or needs another version of cxr.
    #[error("{MANIFEST}: {what}")]
    Manifest { what: String },
    /// The model card belongs to another bundle.
    #[error("{}: {what}", Manifest::CARD)]
    Card { what: String },
    /// The signature is missing, malformed, wrong, or made with an unknown key.
    #[error("{SIGNATURE}: {what}")]
    Signature { what: String },
}

impl Bundle {
    /// Reads and checks a whole bundle. `read` returns the bytes of a file by its name relative to the
    /// bundle. The first failed check is returned.
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
        let signed_by = signature::check_signature(signature.as_deref(), &digest, trust)?;
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
        manifest.check_card(&files[Manifest::CARD])?;
        let reference = parse_json(Manifest::REFERENCE, &files[Manifest::REFERENCE])?;
        Ok(Self { manifest, digest, reference, signed_by, files })
    }

    /// Contents of `bundle.json`.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }
    /// SHA-256 of `bundle.json`, which identifies the bundle.
    pub fn digest(&self) -> &str {
        &self.digest
    }
    /// Key id of the trusted key that signed the bundle; `None` with [`Trust::Unsigned`].
    pub fn signed_by(&self) -> Option<&str> {
        self.signed_by.as_deref()
    }
    /// Inputs and scores at calibration time, for monitoring.
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }
    /// Bytes of a file; `None` if the manifest does not list it.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }
    /// Name and entry of the variant `name`, or of the default variant. The error lists the variants of the
    /// bundle.
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

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn parse_json<T: serde::de::DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, BundleError> {
    serde_json::from_slice(bytes).map_err(|source| BundleError::Json { file: file.into(), source })
}
