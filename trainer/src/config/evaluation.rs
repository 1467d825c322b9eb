//! `trainer.evaluation`: how figures are measured.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `evaluation`: how figures are measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Resamples of the patients behind every interval.
    pub resamples: usize,
    /// The ledger of looks at the test split.
    pub ledger: PathBuf,
}
