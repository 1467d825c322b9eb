//! One file of a dataset, with its class, patient and digest.

use super::columns::Column;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The split that the data was published with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfficialSplit {
    /// `train`.
    Train,
    /// `val`: pooled with `train`.
    Val,
    /// `test`: read by `evaluate` alone.
    Test,
    /// No split was published: a flat folder.
    None,
}

impl OfficialSplit {
    pub(crate) const PUBLISHED: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The folder's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
            Self::None => "none",
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root, with forward slashes.
    pub path: String,
    /// Published split.
    pub split: OfficialSplit,
    /// The class: the name of its folder, or its label in the table.
    pub class: String,
    /// Whether its class counts as positive.
    pub positive: bool,
    /// The patient, by the index's [rule](super::index::Index::patients).
    pub patient: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The groups that the table says it belongs to.
    pub columns: BTreeMap<Column, String>,
}

impl Entry {
    /// The class's name.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The file's name without its folders.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Digest of a set of images by their content, whatever their order and names are.
pub fn images_digest<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut digests: Vec<&str> = entries.map(|entry| entry.sha256.as_str()).collect();
    digests.sort_unstable();
    cxr::bundle::sha256_hex(digests.join("\n").as_bytes())
}
