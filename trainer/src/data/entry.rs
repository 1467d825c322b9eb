//! An image file of a data set, with its class, patient and digest.

use super::columns::Column;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Published split of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfficialSplit {
    Train,
    /// Pooled with `train`.
    Val,
    /// The test fold, unless `trainer.data.pool_test` is set.
    Test,
    /// The data has no published split.
    None,
}

impl OfficialSplit {
    pub(crate) const PUBLISHED: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
            Self::None => "none",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root, with forward slashes.
    pub path: String,
    pub split: OfficialSplit,
    /// Name of the class folder, or label in the table.
    pub class: String,
    pub positive: bool,
    /// Identifier by the [rule](super::index::Index::patients) of the index.
    pub patient: String,
    pub sha256: String,
    /// Groups by column of the table.
    pub columns: BTreeMap<Column, String>,
}

impl Entry {
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Digest of a set of images by content, independent of their order and names.
pub fn images_digest<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut digests: Vec<&str> = entries.map(|entry| entry.sha256.as_str()).collect();
    digests.sort_unstable();
    cxr::bundle::sha256_hex(digests.join("\n").as_bytes())
}
