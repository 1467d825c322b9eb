//! Keys without a default, which belong to one data set or one model.

use anyhow::{Result, ensure};
use serde::{Deserialize, Deserializer};

/// Reads null as the empty value, which stands for "not stated" in the keys that this file lists.
pub(super) fn unstated<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Refuses missing values, by the name of their key.
pub(super) fn check(keys: &[(&str, bool)]) -> Result<()> {
    let missing: Vec<&str> = keys.iter().filter(|(_, is_missing)| *is_missing).map(|(key, _)| *key).collect();
    ensure!(
        missing.is_empty(),
        "the configuration does not set {}; `cxr-trainer init FOLDER` writes one for your data, which --config names",
        missing.join(", ")
    );
    Ok(())
}
