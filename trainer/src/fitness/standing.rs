//! Whether the gates were set before the test fold was first looked at, by the digest of the gates in the
//! ledger.

use crate::train::trained::TrainedRun;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatesStanding {
    /// No look at these images is on record.
    NotLooked,
    /// They are those of the first look, at this time.
    Unchanged(String),
    /// They are others than at the first look, at this time.
    Changed(String),
}

impl GatesStanding {
    pub(super) fn of(trained: &TrainedRun, gates_sha256: &str) -> Result<Self> {
        // Only a line with the digest of its images is known to be about these.
        let mut known = trained.looks()?.into_iter().filter(|look| look.images_sha256.is_some());
        let first = known.find_map(|look| Some((look.time, look.gates_sha256?)));
        Ok(match first {
            None => Self::NotLooked,
            Some((time, gates)) if gates == gates_sha256 => Self::Unchanged(time),
            Some((time, _)) => Self::Changed(time),
        })
    }
}

impl fmt::Display for GatesStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLooked => {
                write!(f, "no look at this test fold is on record, so nothing shows when they were stated")
            }
            Self::Unchanged(time) => {
                write!(f, "before the first look at this test fold on record ({time}), and unchanged since")
            }
            Self::Changed(time) => write!(
                f,
                "CHANGED after the test fold was first looked at ({time}): the verdict was not fixed beforehand"
            ),
        }
    }
}
