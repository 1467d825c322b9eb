//! Secrets: read only through `expose`, never printed, given as a value or as the path of a file.

use super::values::{Rule, ensure, rules};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use std::path::Path;

/// Prefix of the secrets in development.yaml; production refuses them.
const DEVELOPMENT_PREFIX: &str = "development-only";
/// HMAC keys shorter than the hash weaken it (RFC 2104, 3; RFC 7518, 3.2).
const MIN_HMAC_KEY_BYTES: usize = 32;

/// A string that debug output and the effective configuration do not show.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself; every use of it is a call of this function.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub fn read(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        Ok(Self::from(text.trim_end_matches(['\r', '\n'])))
    }

    pub(super) fn is_well_known(&self) -> bool {
        self.expose().starts_with(DEVELOPMENT_PREFIX)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[set, not shown]")
    }
}

rules! {
    HmacKey(Secret): "use at least 32 random bytes and keep them",
        |key| ensure(key.expose().len() >= MIN_HMAC_KEY_BYTES, "shorter than 32 bytes");
}
