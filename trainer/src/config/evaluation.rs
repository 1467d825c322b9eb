//! `trainer.evaluation`: how metrics are measured.

use super::data::grouped;
use anyhow::{Result, ensure};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    pub resamples: usize,
    pub ledger: Option<PathBuf>,
    pub worst_cases: usize,
    pub external: Option<External>,
    pub name_subgroups: BTreeMap<String, String>,
}

/// `evaluation.external`: a labelled set from another hospital.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Folder with one folder per class.
    pub root: PathBuf,
    pub name: String,
    pub classes: BTreeMap<String, ExternalClass>,
    /// Note for readers of the report.
    pub note: String,
    /// Regular expression on the file name whose first group is the patient. None: the known naming schemes;
    /// a file that follows none of them is a patient of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_pattern: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalClass {
    Negative,
    Positive,
    /// Neither: reported separately and left out of the metrics.
    Other,
}

impl External {
    pub fn patient_pattern(&self) -> Result<Option<Regex>> {
        const KEY: &str = "trainer.evaluation.external.patient_pattern";
        self.patient_pattern.as_deref().map(|pattern| grouped(KEY, pattern)).transpose()
    }
}

impl Evaluation {
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
