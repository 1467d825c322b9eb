//! Keys that verify tokens, from PEM files and JSON Web Key Sets. Each key is bound to one algorithm here.

use super::claims::UnknownScope;
use crate::config::auth::{AuthConfig, KeySource, SignatureAlgorithm};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use std::path::{Path, PathBuf};

/// A key with the only algorithm that it verifies: a token cannot choose another one.
pub(super) struct VerificationKey {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) key: DecodingKey,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("service.auth.keys: {} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("service.auth.keys: {} holds no public key in PEM for {algorithm:?}", path.display())]
    Pem {
        path: PathBuf,
        algorithm: SignatureAlgorithm,
        #[source]
        source: jsonwebtoken::errors::Error,
    },
    #[error("service.auth.keys: {origin}")]
    Set {
        origin: String,
        #[source]
        source: SetError,
    },
    #[error(transparent)]
    Scopes(#[from] UnknownScope),
    /// No key set can be fetched: the authorities cannot be read, or TLS cannot be set up.
    #[error("service.auth.jwks: {what}")]
    Client { what: String },
}

#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error("not a JSON Web Key Set")]
    Malformed(#[source] serde_json::Error),
    #[error("no signature key for RS256, ES256 or EdDSA")]
    NoKey,
    #[error("key {index}: {what}")]
    Key { index: usize, what: &'static str },
}

/// The keys in files, and the development secret.
pub(super) fn load(config: &AuthConfig) -> Result<Vec<VerificationKey>, KeyError> {
    let mut keys = Vec::new();
    for source in &config.keys {
        match source {
            KeySource { pem_file: Some(path), algorithm: Some(algorithm), kid, .. } => {
                keys.push(pem(path, *algorithm, kid.clone())?);
            }
            KeySource { jwks_file: Some(path), .. } => {
                let refused = |source| KeyError::Set { origin: path.display().to_string(), source };
                keys.extend(parse_set(&read(path)?).map_err(refused)?);
            }
            // A published set, which is fetched; the configuration allows no other combination.
            _ => {}
        }
    }
    if let Some(secret) = &config.hs256_secret {
        let key = DecodingKey::from_secret(secret.expose().as_bytes());
        keys.push(VerificationKey { algorithm: Algorithm::HS256, kid: None, key });
    }
    Ok(keys)
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    std::fs::read(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })
}

fn pem(path: &Path, algorithm: SignatureAlgorithm, kid: Option<String>) -> Result<VerificationKey, KeyError> {
    let bytes = read(path)?;
    let (key, pinned) = match algorithm {
        SignatureAlgorithm::RS256 => (DecodingKey::from_rsa_pem(&bytes), Algorithm::RS256),
        SignatureAlgorithm::ES256 => (DecodingKey::from_ec_pem(&bytes), Algorithm::ES256),
        SignatureAlgorithm::EdDSA => (DecodingKey::from_ed_pem(&bytes), Algorithm::EdDSA),
    };
    let key = key.map_err(|source| KeyError::Pem { path: path.to_owned(), algorithm, source })?;
    Ok(VerificationKey { algorithm: pinned, kid, key })
}

/// Reads a set. Encryption keys and keys of other types are skipped (RFC 7517, 5).
pub(super) fn parse_set(bytes: &[u8]) -> Result<Vec<VerificationKey>, SetError> {
    let set: JwkSet = serde_json::from_slice(bytes).map_err(SetError::Malformed)?;
    let mut keys = Vec::new();
    for (index, jwk) in set.keys.iter().enumerate() {
        let refused = |what| SetError::Key { index, what };
        if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            return Err(refused("a shared secret: anyone who can verify a token could forge one"));
        }
        let Some(algorithm) = pinned(jwk) else { continue };
        let key = DecodingKey::from_jwk(jwk).map_err(|_| refused("its parameters are malformed"))?;
        keys.push(VerificationKey { algorithm, kid: jwk.common.key_id.clone(), key });
    }
    if keys.is_empty() { Err(SetError::NoKey) } else { Ok(keys) }
}

/// The algorithm that the type of the key implies; none if the key states another algorithm or use.
fn pinned(jwk: &Jwk) -> Option<Algorithm> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let stated = jwk.common.key_algorithm.is_none_or(|stated| stated == name);
    (signs && stated).then_some(algorithm)
}
