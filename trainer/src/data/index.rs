//! The index: all files of a data set. `scan` makes it.

use super::entry::{Entry, OfficialSplit};
use super::patient::PatientRule;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub root: PathBuf,
    /// Sorted by path.
    pub entries: Vec<Entry>,
    /// Number of files by excluded class folder.
    pub excluded: BTreeMap<String, usize>,
    /// Files and folders beside the class folders, which are ignored; sorted.
    pub passed_over: Vec<String>,
    pub patients: PatientRule,
}

impl Index {
    pub fn n_patients(&self) -> usize {
        self.entries.iter().map(|entry| entry.patient.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// SHA-256 of the lines `digest  path`, as printed by `sha256sum`. With a table, class, patient and
    /// columns follow the path, because other labels or patients are other data.
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

    pub fn has_test_split(&self) -> bool {
        self.entries.iter().any(|entry| entry.split == OfficialSplit::Test)
    }
}
