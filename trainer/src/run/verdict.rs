//! The verdict in `fitness.json`, for modules that `fitness` depends on.

use super::RunDirectory;
use crate::files;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Name in the run directory and in a bundle.
pub const FILE: &str = "fitness.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fit,
    NotFit,
    /// No gate failed, but the data is too small to show that all are met.
    NotEnoughData,
    /// All measured gates are met, but one was not measured, or AUC, sensitivity or specificity has no gate.
    NotShown,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::NotFit => "not fit",
            Self::NotEnoughData => "not enough data",
            Self::NotShown => "not shown to be fit",
        }
    }

    /// None before the gates were checked.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Fitness {
            verdict: Verdict,
        }
        let found: Option<Fitness> = files::read_json(&run.file(FILE))?;
        Ok(found.map(|found| found.verdict))
    }
}
