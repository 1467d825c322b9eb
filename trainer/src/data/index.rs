//! The index: every file of a dataset in a fixed order, with its class, patient and digest. Nothing is decoded here.

use super::columns::Column;
use super::patient::PatientRule;
use super::scan;
use crate::config::{Config, Data};
use crate::progress::say;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// The split that the data was published with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfficialSplit {
    /// `train`.
    Train,
    /// `val`: pooled with `train`.
    Val,
    /// `test`: read by `evaluate` alone.
    Test,
    /// No split was published: a flat folder.
    None,
}

impl OfficialSplit {
    pub(crate) const PUBLISHED: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The folder's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
            Self::None => "none",
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root, with forward slashes.
    pub path: String,
    /// Published split.
    pub split: OfficialSplit,
    /// The class: the name of its folder, or its label in the table.
    pub class: String,
    /// Whether its class counts as positive.
    pub positive: bool,
    /// The patient, by the index's [rule](Index::patients).
    pub patient: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The groups that the table says it belongs to.
    pub columns: BTreeMap<Column, String>,
}

impl Entry {
    /// The class's name.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The file's name without its folders.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

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
    /// The configured data set. Where each file counts as a patient, that is said aloud, once a command.
    ///
    /// # Errors
    /// When the configuration does not say which data, and as [`scan`](Self::scan).
    pub fn of(config: &Config) -> Result<Self> {
        static SAID: Once = Once::new();
        config.check_for_data()?;
        let index = Self::scan(&config.data.root, &config.data)?;
        if !index.patients.tells_patients() {
            SAID.call_once(|| say(index.patients.statement()));
        }
        Ok(index)
    }

    /// Lists and hashes every file of the class folders and of the folders in them, as `data` says what they mean. Hidden files are passed
    /// over; any other file in a class folder counts as an image, so that none is ever lost silently. Where the table has labels, they are
    /// the classes and files may lie anywhere; what is neither image nor DICOM and has no line is passed over then.
    ///
    /// # Errors
    /// Names what is missing or cannot be read, a class folder that `data.classes` does not list, every contradiction between files and
    /// table, and what to do where nothing says who the patients are.
    pub fn scan(root: &Path, data: &Data) -> Result<Self> {
        scan::scan(root, data, scan::Extent::Whole)
    }

    /// The same of a folder that holds some of the data set's files in the same layout, such as untouched originals: lines of the table
    /// whose file is not there are none of its concern.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn scan_part(root: &Path, data: &Data) -> Result<Self> {
        scan::scan(root, data, scan::Extent::Part)
    }

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

/// Digest of a set of images by their content, whatever their order and names are.
pub fn images_digest<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut digests: Vec<&str> = entries.map(|entry| entry.sha256.as_str()).collect();
    digests.sort_unstable();
    cxr::bundle::sha256_hex(digests.join("\n").as_bytes())
}
