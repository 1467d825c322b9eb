//! The index: every file of a dataset in a fixed order, with its class, patient and digest. Nothing is decoded here.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The class folders: negative, positive.
pub const CLASSES: [&str; 2] = ["NORMAL", "PNEUMONIA"];

/// The split that the data was published with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfficialSplit {
    /// `train`.
    Train,
    /// `val`: 16 images, pooled with `train`.
    Val,
    /// `test`: read by `evaluate` alone.
    Test,
}

impl OfficialSplit {
    const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The folder's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
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

/// Every file of a dataset, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The folder.
    pub root: PathBuf,
    /// The files.
    pub entries: Vec<Entry>,
}

impl Index {
    /// Lists and hashes every file in `root/{train,val,test}/{NORMAL,PNEUMONIA}`. Hidden files are passed over; any
    /// other file counts as an image, so that none is ever lost silently.
    ///
    /// # Errors
    /// Names what is missing or cannot be read.
    pub fn scan(root: &Path) -> Result<Self> {
        ensure!(
            root.is_dir(),
            "{}: no such folder; set --data to the dataset or CXR_DATA_DIR to the folder that holds it",
            root.display()
        );
        let mut entries = Vec::new();
        for split in OfficialSplit::ALL {
            for (label, class) in CLASSES.iter().enumerate() {
                let folder = format!("{}/{class}", split.name());
                if split == OfficialSplit::Train || root.join(&folder).is_dir() {
                    scan_folder(root, &folder, split, label == 1, &mut entries)?;
                }
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: root.to_owned(), entries })
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
}

fn scan_folder(
    root: &Path,
    folder: &str,
    split: OfficialSplit,
    positive: bool,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let path = root.join(folder);
    let files = std::fs::read_dir(&path).with_context(|| format!("{}: cannot be listed", path.display()))?;
    for file in files {
        let file = file.with_context(|| format!("{}: cannot be listed", path.display()))?;
        let Ok(name) = file.file_name().into_string() else {
            bail!("{}: the file name is not UTF-8", file.path().display());
        };
        if name.starts_with('.') {
            continue;
        }
        let bytes = std::fs::read(file.path()).with_context(|| format!("{folder}/{name}: cannot be read"))?;
        let sha256 = cxr::bundle::sha256_hex(&bytes);
        entries.push(Entry {
            path: format!("{folder}/{name}"),
            split,
            positive,
            patient: patient(&name),
            sha256,
        });
    }
    Ok(())
}

/// The patient that a file name tells: `personN_bacteria`, `personN_virus`, `IM-N` or `NORMAL2-IM-N`; a name of
/// another form is a patient of its own.
pub fn patient(file_name: &str) -> String {
    let pneumonia = || {
        let (number, rest) = split_digits(file_name.strip_prefix("person")?)?;
        let organism = ["bacteria", "virus"]
            .into_iter()
            .find(|o| rest.strip_prefix('_').is_some_and(|r| r.starts_with(o)))?;
        Some(format!("person{number}_{organism}"))
    };
    let normal = || {
        let (prefix, rest) = match file_name.strip_prefix("NORMAL2-") {
            Some(rest) => ("NORMAL2-", rest),
            None => ("", file_name),
        };
        let (number, _) = split_digits(rest.strip_prefix("IM-")?)?;
        Some(format!("{prefix}IM-{number}"))
    };
    pneumonia().or_else(normal).unwrap_or_else(|| file_name.to_owned())
}

fn split_digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_the_patient() {
        let cases = [
            ("person23_bacteria_78.jpeg", "person23_bacteria"),
            ("person23_virus_56.jpeg", "person23_virus"),
            ("person1_virus_6_7.jpeg", "person1_virus"),
            ("IM-0115-0001.jpeg", "IM-0115"),
            ("IM-0538-0001-0002.jpeg", "IM-0538"),
            ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
            ("holiday.jpeg", "holiday.jpeg"),
            ("person_bacteria_1.jpeg", "person_bacteria_1.jpeg"),
        ];
        for (name, expected) in cases {
            assert_eq!(patient(name), expected);
        }
    }
}
