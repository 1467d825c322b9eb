//! The keys whose signatures on bundles are trusted.

use crate::config::model::ModelConfig;
use cxr::bundle::{Trust, key_id};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::{DecodePublicKey, spki};
use std::path::{Path, PathBuf};

/// The key that signed `models/`. Its private key is in the repository, so production never trusts it.
const DEVELOPMENT_KEY: &str = include_str!("../../../config/development-signing-key.pub.pem");

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not an Ed25519 public key in PEM; cxr-service bundle new-key prints one", path.display())]
    Pem {
        path: PathBuf,
        #[source]
        source: spki::Error,
    },
    #[error("{} is the development key, with which anyone can sign; the production profile refuses it", path.display())]
    DevelopmentKey { path: PathBuf },
}

/// The configured keys; the development key if there are none.
pub(super) fn required(config: &ModelConfig) -> Result<Trust, TrustError> {
    let mut keys = Vec::new();
    for path in &config.trusted_keys {
        let key = read_public_key(path)?;
        if config.refuse_development_key && is_development_key(&key) {
            return Err(TrustError::DevelopmentKey { path: path.clone() });
        }
        keys.push(key);
    }
    // Only development falls back on its own key: no proof of origin, but every changed byte is detected.
    if keys.is_empty() {
        keys.push(development_key().map_err(|source| TrustError::Pem { path: "built in".into(), source })?);
    }
    Ok(Trust::SignedBy(keys))
}

pub fn read_public_key(path: &Path) -> Result<VerifyingKey, TrustError> {
    let read = |source| TrustError::Read { path: path.to_owned(), source };
    let pem = std::fs::read_to_string(path).map_err(read)?;
    let malformed = |source| TrustError::Pem { path: path.to_owned(), source };
    VerifyingKey::from_public_key_pem(&pem).map_err(malformed)
}

fn development_key() -> Result<VerifyingKey, spki::Error> {
    VerifyingKey::from_public_key_pem(DEVELOPMENT_KEY)
}

pub fn is_development_key(key: &VerifyingKey) -> bool {
    development_key().is_ok_and(|development| development == *key)
}

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
