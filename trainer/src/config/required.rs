//! What no default can say: keys that belong to one data set or one model, and which commands refuse to start without them.

use super::Config;
use anyhow::{Result, ensure};
use serde::{Deserialize, Deserializer};

/// Reads null as the empty value, which stands for "not stated" in the keys that this file lists.
pub(super) fn unstated<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Config {
    /// Refuses a configuration that does not say which data it is for.
    ///
    /// # Errors
    /// Names every key that is not set.
    pub fn check_for_data(&self) -> Result<()> {
        check(&[
            ("trainer.data.root (or --data)", self.data.root.as_os_str().is_empty()),
            ("trainer.data.name", self.data.name.is_empty()),
            ("trainer.data.classes", self.data.classes.is_empty()),
        ])
    }

    /// Refuses a configuration that does not say what the bundle is.
    ///
    /// # Errors
    /// Names every key that is not set.
    pub fn check_for_bundle(&self) -> Result<()> {
        let export = &self.export;
        check(&[
            ("trainer.export.name", export.name.is_empty()),
            ("trainer.export.intended_use.statement", export.intended_use.statement.is_empty()),
        ])
    }
}

fn check(keys: &[(&str, bool)]) -> Result<()> {
    let missing: Vec<&str> = keys.iter().filter(|(_, is_missing)| *is_missing).map(|(key, _)| *key).collect();
    ensure!(
        missing.is_empty(),
        "the configuration does not set {}; `cxr-trainer init FOLDER` writes one for your data, which --config names",
        missing.join(", ")
    );
    Ok(())
}
