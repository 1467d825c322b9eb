//! The verdict of a run: the part of `fitness.json` that is read below `fitness`.

use super::RunDirectory;
use crate::files;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The file in the run directory and in a bundle.
pub const FILE: &str = "fitness.json";

/// What follows from all gates together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every gate is met.
    Fit,
    /// A gate was measured and is not met.
    NotFit,
    /// No gate is failed, and the data cannot show that all are met.
    NotEnoughData,
    /// What was measured is met, and something was not measured, or no gate asks how well the network tells the classes apart.
    NotShown,
}

impl Verdict {
    /// As the registry names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::NotFit => "not fit",
            Self::NotEnoughData => "not enough data",
            Self::NotShown => "not shown to be fit",
        }
    }

    /// The verdict of a run; none before its gates were checked.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Fitness {
            verdict: Verdict,
        }
        let found: Option<Fitness> = files::read_json(&run.file(FILE))?;
        Ok(found.map(|found| found.verdict))
    }
}
