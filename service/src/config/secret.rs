//! Secrets: readable only by asking, never printed, given as a value or as the path of a file.

use super::Profile;
use super::problem::Problem;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use std::path::Path;

/// What the secrets of development.yaml start with; production refuses them.
const DEVELOPMENT_PREFIX: &str = "development-only";

/// A string that debug output and the effective configuration do not show.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself; every use of it is a call of this function.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
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

/// Takes the secret from the key or from the file that `<key>_file` names, and refuses development's in production.
pub(super) fn resolve(
    key: &str,
    value: Option<&Secret>,
    file: Option<&Path>,
    profile: Profile,
    problems: &mut Vec<Problem>,
) -> Option<Secret> {
    let secret = match (value, file) {
        (Some(_), Some(_)) => {
            problems.push(Problem::new(key, "set here and also by its _file key", "keep only one"));
            None
        }
        (Some(secret), None) => Some(secret.clone()),
        (None, Some(path)) => read(key, path, problems),
        (None, None) => None,
    }?;
    if profile == Profile::Production && secret.expose().starts_with(DEVELOPMENT_PREFIX) {
        problems.push(Problem::new(
            key,
            "the well-known secret of the development profile",
            "set your own secret",
        ));
        return None;
    }
    Some(secret)
}

impl Secret {
    /// The secret that a file holds: its text without the line's end.
    ///
    /// # Errors
    /// When the file cannot be read as text.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        Ok(Self::from(text.trim_end_matches(['\r', '\n'])))
    }
}

fn read(key: &str, path: &Path, problems: &mut Vec<Problem>) -> Option<Secret> {
    match Secret::read(path) {
        Ok(secret) => Some(secret),
        Err(error) => {
            let found = format!("the file {} cannot be read ({})", path.display(), error.kind());
            problems.push(Problem::new(
                &format!("{key}_file"),
                &found,
                "use a readable file with the secret",
            ));
            None
        }
    }
}
