//! The model bundle: the contract between trainer and service, opened and verified; reading is a closure. [`Bundle::open`] is the
//! one judge of what a bundle holds: the trainer's commands and the service all ask it.

mod manifest;
mod signature;

pub use manifest::{
    Evaluation, FileDigest, FoldEvaluation, Golden, Manifest, Measured, ModelContract, Provenance,
    TensorSpec, Variant,
};
pub use signature::{BundleSignature, Trust, key_id, sign};

use crate::reference::Reference;
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
    /// The model card is not the card of this bundle.
    #[error("{}: {what}", Manifest::CARD)]
    Card {
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

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn parse_json<T: serde::de::DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, BundleError> {
    serde_json::from_slice(bytes).map_err(|source| BundleError::Json { file: file.into(), source })
}
