//! The index: every file of a dataset in a fixed order, with its class, patient and digest. Nothing is decoded here.

use super::patient::patient;
use crate::config::data::{Data, Label, Layout};
use anyhow::{Context, Result, bail, ensure};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The model's classes: negative, positive.
pub const CLASSES: [&str; 2] = ["NORMAL", "PNEUMONIA"];

/// The split that the data was published with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfficialSplit {
    /// `train`.
    Train,
    /// `val`: 16 images in Kermany's data, pooled with `train`.
    Val,
    /// `test`: read by `evaluate` alone.
    Test,
    /// No split was published: a flat folder.
    None,
}

impl OfficialSplit {
    const PUBLISHED: [Self; 3] = [Self::Train, Self::Val, Self::Test];

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
    /// Whether its class is pneumonia.
    pub positive: bool,
    /// The patient, as far as the file name tells.
    pub patient: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl Entry {
    /// The class folder's name.
    pub fn class(&self) -> &str {
        self.path.rsplit('/').nth(1).unwrap_or_default()
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
}

impl Index {
    /// Lists and hashes every file of the class folders, as `data` says what they mean. Hidden files are passed over; any
    /// other file in a class folder counts as an image, so that none is ever lost silently.
    ///
    /// # Errors
    /// Names what is missing or cannot be read, and a class folder that `data.classes` does not list.
    pub fn scan(root: &Path, data: &Data) -> Result<Self> {
        ensure!(
            root.is_dir(),
            "{}: no such folder; set --data to the dataset or CXR_DATA_DIR to the folder that holds it",
            root.display()
        );
        let is_flat = match data.layout {
            Layout::Auto => !root.join("train").is_dir(),
            Layout::Kaggle => false,
            Layout::Flat => true,
        };
        let index = Self {
            root: root.to_owned(),
            entries: Vec::new(),
            excluded: BTreeMap::new(),
            passed_over: Vec::new(),
        };
        let mut scan = Scan { index, data, pattern: data.patient_pattern()? };
        if is_flat {
            scan.classes("", OfficialSplit::None)?;
        } else {
            scan.splits()?;
        }
        scan.finish()
    }

    /// SHA-256 over the sorted lines `digest  path`, the form of `sha256sum`.
    pub fn digest(&self) -> String {
        let mut lines = String::new();
        for entry in &self.entries {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{}  {}", entry.sha256, entry.path);
        }
        cxr::bundle::sha256_hex(lines.as_bytes())
    }

    /// Whether the data was published with a test split.
    pub fn has_test_split(&self) -> bool {
        self.entries.iter().any(|entry| entry.split == OfficialSplit::Test)
    }
}

/// An index in the making.
struct Scan<'a> {
    index: Index,
    data: &'a Data,
    pattern: Option<Regex>,
}

impl Scan<'_> {
    fn splits(&mut self) -> Result<()> {
        let root = &self.index.root;
        ensure!(
            root.join("train").is_dir(),
            "{}: has no folder `train`; set trainer.data.layout to flat if its folders are the classes",
            root.display()
        );
        for name in list(root, "")? {
            match OfficialSplit::PUBLISHED.into_iter().find(|split| split.name() == name) {
                Some(split) => self.classes(&format!("{name}/"), split)?,
                None => self.index.passed_over.push(name),
            }
        }
        Ok(())
    }

    /// The class folders in `prefix`, which is empty or ends with a slash.
    fn classes(&mut self, prefix: &str, split: OfficialSplit) -> Result<()> {
        for class in list(&self.index.root, prefix)? {
            let folder = format!("{prefix}{class}");
            if !self.index.root.join(&folder).is_dir() {
                self.index.passed_over.push(folder);
                continue;
            }
            match self.data.label(&class) {
                Some(Label::Exclude) => {
                    let n = list(&self.index.root, &folder)?.len();
                    self.index.excluded.insert(folder, n);
                }
                Some(label) => self.images(&folder, split, label == Label::Positive)?,
                None => bail!(
                    "{}: no listed class; set trainer.data.classes: {{ {class}: negative }} (or positive, or exclude)",
                    self.index.root.join(&folder).display()
                ),
            }
        }
        Ok(())
    }

    fn images(&mut self, folder: &str, split: OfficialSplit, positive: bool) -> Result<()> {
        for name in list(&self.index.root, folder)? {
            let path = format!("{folder}/{name}");
            let bytes = std::fs::read(self.index.root.join(&path))
                .with_context(|| format!("{path}: cannot be read"))?;
            let patient = patient(&name, self.pattern.as_ref()).with_context(|| path.clone())?;
            let sha256 = cxr::bundle::sha256_hex(&bytes);
            self.index.entries.push(Entry { path, split, positive, patient, sha256 });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Index> {
        for (positive, label) in [(false, "negative"), (true, "positive")] {
            let found = self.index.entries.iter().any(|entry| {
                entry.positive == positive
                    && matches!(entry.split, OfficialSplit::Train | OfficialSplit::None)
            });
            ensure!(
                found,
                "{}: no image of a {label} class to train on; trainer.data.classes lists {:?}",
                self.index.root.display(),
                self.data.classes
            );
        }
        self.index.entries.sort_by(|a, b| a.path.cmp(&b.path));
        self.index.passed_over.sort();
        Ok(self.index)
    }
}

/// Names in a folder that are not hidden, sorted.
fn list(root: &Path, folder: &str) -> Result<Vec<String>> {
    let path = root.join(folder);
    let context = || format!("{}: cannot be listed", path.display());
    let mut names = Vec::new();
    for file in std::fs::read_dir(&path).with_context(context)? {
        let file = file.with_context(context)?;
        let Ok(name) = file.file_name().into_string() else {
            bail!("{}: the file name is not UTF-8", file.path().display());
        };
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
