//! Whose signature on a bundle counts.

use crate::config::model::ModelConfig;
use cxr::bundle::{Trust, key_id};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::{DecodePublicKey, spki};
use std::path::{Path, PathBuf};

/// The key that signs the bundle in `models/`: its private half lies beside it, so production never trusts it.
const DEVELOPMENT_KEY: &str = include_str!("../../../config/development-signing-key.pub.pem");

/// Why the configured keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file is missing or unreadable.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Not an Ed25519 public key in PEM.
    #[error("{} is not an Ed25519 public key in PEM; cxr-service bundle new-key prints one", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: spki::Error,
    },
    /// The development key, where it must not be trusted.
    #[error("{} is the development key, with which anyone can sign; the production profile refuses it", path.display())]
    DevelopmentKey {
        /// The file.
        path: PathBuf,
    },
}

/// What the configuration requires of a bundle's signature.
pub(super) fn required(config: &ModelConfig) -> Result<Trust, TrustError> {
    let mut keys = Vec::new();
    for path in &config.trusted_keys {
        let key = read_public_key(path)?;
        if config.refuse_development_key && is_development_key(&key) {
            return Err(TrustError::DevelopmentKey { path: path.clone() });
        }
        keys.push(key);
    }
    // The production profile requires a key of its own. Development falls back on the well-known one, which proves
    // nothing about who made a bundle but finds every changed byte, those of bundle.json included.
    if keys.is_empty() {
        keys.push(development_key().map_err(|source| TrustError::Pem { path: "built in".into(), source })?);
    }
    Ok(Trust::SignedBy(keys))
}

/// A key that may sign bundles, from its file.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn read_public_key(path: &Path) -> Result<VerifyingKey, TrustError> {
    let read = |source| TrustError::Read { path: path.to_owned(), source };
    let pem = std::fs::read_to_string(path).map_err(read)?;
    let malformed = |source| TrustError::Pem { path: path.to_owned(), source };
    VerifyingKey::from_public_key_pem(&pem).map_err(malformed)
}

fn development_key() -> Result<VerifyingKey, spki::Error> {
    VerifyingKey::from_public_key_pem(DEVELOPMENT_KEY)
}

/// Whether everybody has its private half.
pub fn is_development_key(key: &VerifyingKey) -> bool {
    development_key().is_ok_and(|development| development == *key)
}

/// The development key as signatures name it.
pub fn development_key_id() -> Option<String> {
    development_key().ok().map(|key| key_id(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_key_is_recognised() {
        let key = VerifyingKey::from_public_key_pem(DEVELOPMENT_KEY).unwrap();
        assert!(is_development_key(&key));
        let other = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        assert!(!is_development_key(&other));
    }
}
