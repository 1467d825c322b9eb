//! Whether the gates were set before the first look at the test fold, by their digest in the ledger.

use crate::train::trained::TrainedRun;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preregistration {
    /// No look at these images is on record.
    NotLooked,
    /// The gates are those of the first look, at this time.
    Unchanged(String),
    /// The gates differ from those of the first look, at this time.
    Changed(String),
}

impl Preregistration {
    pub(super) fn of(trained: &TrainedRun, gates_sha256: &str) -> Result<Self> {
        // Lines without a digest of the images may be about other images.
        let mut looks = trained.looks()?.into_iter().filter(|look| look.images_sha256.is_some());
        let first = looks.find_map(|look| Some((look.time, look.gates_sha256?)));
        Ok(match first {
            None => Self::NotLooked,
            Some((time, gates)) if gates == gates_sha256 => Self::Unchanged(time),
            Some((time, _)) => Self::Changed(time),
        })
    }
}

impl fmt::Display for Preregistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLooked => f.write_str("unknown, because no look at this test fold is on record"),
            Self::Unchanged(time) => {
                write!(f, "before the first look at this test fold on record ({time}), and unchanged since")
            }
            Self::Changed(time) => write!(
                f,
                "CHANGED after the first look at the test fold ({time}): the verdict was not fixed beforehand"
            ),
        }
    }
}
