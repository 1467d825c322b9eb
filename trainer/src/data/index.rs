//! The index: every file of a dataset in a fixed order. `scan` makes it.

use super::entry::{Entry, OfficialSplit};
use super::patient::PatientRule;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Every file of a dataset, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The folder.
    pub root: PathBuf,
    /// The files.
    pub entries: Vec<Entry>,
    /// Files in class folders that the configuration excludes, by folder.
    pub excluded: BTreeMap<String, usize>,
    /// What lies beside the class folders and was not looked into, sorted.
    pub passed_over: Vec<String>,
    /// Who says which files are one patient's.
    pub patients: PatientRule,
}

impl Index {
    /// How many patients the files are of.
    pub fn n_patients(&self) -> usize {
        self.entries.iter().map(|entry| entry.patient.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// SHA-256 over the sorted lines `digest  path`, the form of `sha256sum`. What a table says stands behind the path: other labels or
    /// patients are other data.
    pub fn digest(&self) -> String {
        let mut lines = String::new();
        for entry in &self.entries {
            // Writing to a String cannot fail.
            let _ = match self.patients {
                PatientRule::Table(_) => {
                    let Entry { sha256, path, class, patient, columns, .. } = entry;
                    writeln!(lines, "{sha256}  {path}  {class:?} {patient:?} {columns:?}")
                }
                _ => writeln!(lines, "{}  {}", entry.sha256, entry.path),
            };
        }
        cxr::bundle::sha256_hex(lines.as_bytes())
    }

    /// Whether the data was published with a test split.
    pub fn has_test_split(&self) -> bool {
        self.entries.iter().any(|entry| entry.split == OfficialSplit::Test)
    }
}
