//! `trainer.evaluation`: how figures are measured.

use super::data::grouped;
use anyhow::{Result, ensure};
use regex::Regex;
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
    /// Subgroups by what files are called: a regular expression each, whose first group is the subgroup.
    pub name_subgroups: BTreeMap<String, String>,
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
    /// Regular expression over a file's name whose first group is the patient; none for the known forms of names, where a name of another
    /// form is a patient of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_pattern: Option<String>,
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

impl External {
    /// The compiled [`patient_pattern`](Self::patient_pattern).
    ///
    /// # Errors
    /// When it is no regular expression or has no group.
    pub fn patient_pattern(&self) -> Result<Option<Regex>> {
        const KEY: &str = "trainer.evaluation.external.patient_pattern";
        self.patient_pattern.as_deref().map(|pattern| grouped(KEY, pattern)).transpose()
    }
}

impl Evaluation {
    /// The compiled [`name_subgroups`](Self::name_subgroups).
    ///
    /// # Errors
    /// When one is no regular expression or has no group.
    pub fn name_subgroups(&self) -> Result<Vec<(String, Regex)>> {
        let compile = |(name, pattern): (&String, &String)| {
            let key = format!("trainer.evaluation.name_subgroups: {name:?}");
            Ok((name.clone(), grouped(&key, pattern)?))
        };
        self.name_subgroups.iter().map(compile).collect()
    }

    pub(super) fn check(&self) -> Result<()> {
        self.name_subgroups()?;
        let Some(external) = &self.external else { return Ok(()) };
        external.patient_pattern()?;
        for class in [ExternalClass::Negative, ExternalClass::Positive] {
            ensure!(
                external.classes.values().any(|of| *of == class),
                "trainer.evaluation.external.classes: no folder is {class:?}"
            );
        }
        Ok(())
    }
}
