//! `trainer.evaluation`: how figures are measured.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `evaluation`: how figures are measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Resamples of the patients behind every interval.
    pub resamples: usize,
    /// The ledger of looks at the test fold; none for one in the run directory.
    pub ledger: Option<PathBuf>,
    /// Errors of each kind on the contact sheet.
    pub worst_cases: usize,
    /// `external`: images from elsewhere.
    pub external: Option<External>,
}

/// `evaluation.external`: a labelled set from another hospital.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Folder with one folder a class.
    pub root: PathBuf,
    /// Human name.
    pub name: String,
    /// What each class folder counts as.
    pub classes: BTreeMap<String, ExternalClass>,
    /// What a reader must know of the set.
    pub note: String,
}

/// What a class of an external set counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalClass {
    /// Normal.
    Negative,
    /// Pneumonia.
    Positive,
    /// Neither: reported beside the figures, not in them.
    Other,
}

impl Evaluation {
    pub(super) fn check(&self) -> Result<()> {
        let Some(external) = &self.external else { return Ok(()) };
        for class in [ExternalClass::Negative, ExternalClass::Positive] {
            ensure!(
                external.classes.values().any(|of| *of == class),
                "trainer.evaluation.external.classes: no folder is {class:?}"
            );
        }
        Ok(())
    }
}
