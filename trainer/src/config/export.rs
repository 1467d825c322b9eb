//! `trainer.export`: the bundle.

use cxr::decide::IntendedUse;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `export`: the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Its folder.
    pub directory: PathBuf,
    /// Its name.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// Largest size of all its files.
    pub max_bytes: usize,
    /// Private key that signs it.
    pub signing_key: PathBuf,
    /// Untouched originals of some images of the dataset, in the same layout.
    pub originals: Option<PathBuf>,
    /// Who and what the model is for.
    pub intended_use: IntendedUse,
}
