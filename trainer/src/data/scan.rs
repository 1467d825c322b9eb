//! Makes the index: walks the folders, matches the table with the files and applies the patient rule.

use super::defects::{Defects, Kind, listed};
use super::entry::{Entry, OfficialSplit};
use super::index::Index;
use super::patient::{PatientRule, by_pattern, known, unknown_error, unmatched_error};
use super::readable::foreign;
use super::table::{Line, Table};
use crate::config::Config;
use crate::config::data::{Data, Label, Layout};
use crate::files;
use crate::progress::say;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Once;

const HEAD: u64 = 512;

impl Index {
    /// The configured data set. Prints once per process that each file counts as a patient.
    pub fn of(config: &Config) -> Result<Self> {
        static PRINTED: Once = Once::new();
        config.check_for_data()?;
        let index = Self::scan(&config.data.root, &config.data)?;
        if !index.patients.groups_files() {
            PRINTED.call_once(|| say(index.patients.statement()));
        }
        Ok(index)
    }

    /// Lists and hashes all files below the class folders. Every file there that is not hidden counts as an
    /// image, so that none is lost silently. If the table has labels, they are the classes and files may be
    /// anywhere; files that are neither images nor DICOM and have no line are then ignored.
    pub fn scan(root: &Path, data: &Data) -> Result<Self> {
        scan(root, data, true)
    }

    /// Scans a folder with some files of the data set, such as originals; the table may list others.
    pub fn scan_part(root: &Path, data: &Data) -> Result<Self> {
        scan(root, data, false)
    }
}

fn scan(root: &Path, data: &Data, is_whole: bool) -> Result<Index> {
    ensure!(
        root.is_dir(),
        "{}: no such folder; set trainer.data.root or --data to the data set, or CXR_DATA_DIR to the folder that holds it",
        root.display()
    );
    let is_flat = match data.layout {
        Layout::Auto => !root.join("train").is_dir(),
        Layout::Kaggle => false,
        Layout::Flat => true,
    };
    let mut defects = Defects::default();
    let table = data.table.as_ref().map(|table| Table::read(table, &mut defects)).transpose()?;
    let mut scan = Scan {
        root,
        data,
        table,
        defects,
        found: Vec::new(),
        seen: BTreeSet::new(),
        excluded: BTreeMap::new(),
        passed_over: Vec::new(),
        unlisted: BTreeSet::new(),
    };
    if is_flat {
        scan.files("", OfficialSplit::None)?;
    } else {
        scan.splits()?;
    }
    scan.finish(is_whole)
}

struct Found {
    path: String,
    split: OfficialSplit,
    class: String,
    positive: bool,
    /// Length of the path's prefix up to the class folder, or up to the split if there are no class folders.
    prefix_len: usize,
}

struct Scan<'a> {
    root: &'a Path,
    data: &'a Data,
    table: Option<Table>,
    defects: Defects,
    found: Vec<Found>,
    /// All files in class folders, including excluded ones.
    seen: BTreeSet<String>,
    excluded: BTreeMap<String, usize>,
    passed_over: Vec<String>,
    unlisted: BTreeSet<String>,
}

impl Scan<'_> {
    fn splits(&mut self) -> Result<()> {
        ensure!(
            self.root.join("train").is_dir(),
            "{}: has no folder `train`; set trainer.data.layout to flat if its folders are the classes",
            self.root.display()
        );
        for name in list(self.root, "")? {
            match OfficialSplit::PUBLISHED.into_iter().find(|split| split.name() == name) {
                Some(split) => self.files(&format!("{name}/"), split)?,
                None => self.passed_over.push(name),
            }
        }
        Ok(())
    }

    /// Finds the files below `prefix`, which is empty or ends with a slash.
    fn files(&mut self, prefix: &str, split: OfficialSplit) -> Result<()> {
        if self.table.as_ref().is_some_and(|table| table.has_labels) {
            self.labelled(prefix, split)
        } else {
            self.class_folders(prefix, split)
        }
    }

    fn class_folders(&mut self, prefix: &str, split: OfficialSplit) -> Result<()> {
        for class in list(self.root, prefix)? {
            let folder = format!("{prefix}{class}");
            if !self.root.join(&folder).is_dir() {
                self.passed_over.push(folder);
                continue;
            }
            let Some(label) = self.data.label(&class) else {
                self.unlisted.insert(class);
                continue;
            };
            let files = files_below(self.root, &folder)?;
            self.seen.extend(files.iter().cloned());
            if label == Label::Exclude {
                self.excluded.insert(folder, files.len());
                continue;
            }
            self.found.extend(files.into_iter().map(|path| Found {
                path,
                split,
                class: class.clone(),
                positive: label == Label::Positive,
                prefix_len: folder.len() + 1,
            }));
        }
        Ok(())
    }

    fn labelled(&mut self, prefix: &str, split: OfficialSplit) -> Result<()> {
        for path in files_below(self.root, prefix.trim_end_matches('/'))? {
            let Some(line) = self.line(&path) else {
                let head = head(&self.root.join(&path))?;
                if cxr::decode::sniff(&head).is_some() || cxr::decode::is_dicom(&head) {
                    self.defects.add(Kind::FileWithoutLine, path);
                } else {
                    self.passed_over.push(path);
                }
                continue;
            };
            self.seen.insert(path.clone());
            let Some((class, label)) = self.data.class(&line.label) else {
                let defect = format!("line {}, column label: {:?} ({path})", line.number, line.label);
                self.defects.add(Kind::UnknownLabel, defect);
                continue;
            };
            let class = class.to_owned();
            let folder = path[prefix.len()..].split_once('/').map(|(folder, _)| folder);
            let folder = folder.filter(|folder| self.data.label(folder).is_some());
            if let Some(folder) = folder.filter(|folder| !folder.eq_ignore_ascii_case(&class)) {
                let defect = format!(
                    "line {}, column label says {class}, but the file is in folder {folder} ({path})",
                    line.number
                );
                self.defects.add(Kind::Contradiction, defect);
            }
            if label == Label::Exclude {
                *self.excluded.entry(format!("{prefix}{class}")).or_default() += 1;
                continue;
            }
            let prefix_len = prefix.len() + folder.map_or(0, |folder| folder.len() + 1);
            self.found.push(Found { path, split, class, positive: label == Label::Positive, prefix_len });
        }
        Ok(())
    }

    fn line(&self, path: &str) -> Option<Line> {
        self.table.as_ref()?.lines.get(path).cloned()
    }

    fn finish(mut self, is_whole: bool) -> Result<Index> {
        ensure!(
            self.unlisted.is_empty(),
            "{}: trainer.data.classes does not list {}; set classes: {{ {} }} (each negative, positive or exclude)",
            self.root.display(),
            self.unlisted.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
            self.unlisted.iter().map(|class| format!("{class}: exclude")).collect::<Vec<_>>().join(", ")
        );
        self.check_table(is_whole)?;
        for label in [Label::Negative, Label::Positive] {
            let trains = |found: &&Found| matches!(found.split, OfficialSplit::Train | OfficialSplit::None);
            ensure!(
                self.found.iter().filter(trains).any(|found| found.positive == (label == Label::Positive)),
                "{}: no image of a {} class to train on; trainer.data.classes lists {:?}. {}",
                self.root.display(),
                label.name(),
                self.data.classes,
                if self.table.as_ref().is_some_and(|table| table.has_labels) {
                    "The table lists the class of each image"
                } else {
                    "Put the images of each class into one folder, or list the classes in a table with the column label (trainer.data.table)"
                }
            );
        }
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.passed_over.sort();
        let patients = PatientRule::of(self.data);
        let names = self.patients(&patients)?;
        let entry = |(found, patient): (&Found, String)| {
            let path = found.path.clone();
            let bytes = files::read(&self.root.join(&path))?;
            Ok(Entry {
                split: found.split,
                class: found.class.clone(),
                positive: found.positive,
                patient,
                sha256: cxr::bundle::sha256_hex(&bytes),
                columns: self.line(&path).map(|line| line.columns).unwrap_or_default(),
                path,
            })
        };
        let entries = self.found.iter().zip(names).map(entry).collect::<Result<_>>()?;
        Ok(Index {
            root: self.root.to_owned(),
            entries,
            excluded: self.excluded,
            passed_over: self.passed_over,
            patients,
        })
    }

    /// Lists all contradictions between the table and the files.
    fn check_table(&mut self, is_whole: bool) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        if !table.has_labels {
            for found in self.found.iter().filter(|found| !table.lines.contains_key(&found.path)) {
                let defect = match foreign(&head(&self.root.join(&found.path))?) {
                    Some(what) => format!("{}: {what}", found.path),
                    None => found.path.clone(),
                };
                self.defects.add(Kind::FileWithoutLine, defect);
            }
        }
        for (file, line) in table.lines.iter().filter(|(file, _)| is_whole && !self.seen.contains(*file)) {
            let exists = self.root.join(file).is_file();
            let kind = if exists { Kind::LineOutside } else { Kind::LineWithoutFile };
            self.defects.add(kind, format!("line {}: {file}", line.number));
        }
        self.defects.check(&format!("{} for {}", table.path.display(), self.root.display()))
    }

    fn patients(&self, rule: &PatientRule) -> Result<Vec<String>> {
        let pattern = self.data.patient_pattern()?;
        let patient = |found: &Found| match rule {
            PatientRule::EachFile => Some(found.path.clone()),
            PatientRule::Table(_) => self.line(&found.path).map(|line| line.patient),
            PatientRule::Pattern(_) => by_pattern(&found.path[found.prefix_len..], pattern.as_ref()?),
            PatientRule::KnownNames => known(found.path.rsplit('/').next()?),
        };
        let patients: Vec<Option<String>> = self.found.iter().map(patient).collect();
        let unassigned = self.found.iter().zip(&patients).filter(|(_, patient)| patient.is_none());
        let unassigned: Vec<&str> = unassigned.map(|(found, _)| found.path.as_str()).collect();
        if unassigned.is_empty() {
            return Ok(patients.into_iter().flatten().collect());
        }
        // Notes and DICOM files are reported as what they are: no rule for patients can match their names.
        let (mut others, mut images) = (BTreeMap::new(), Vec::new());
        for path in unassigned {
            match foreign(&head(&self.root.join(path))?) {
                Some(what) => {
                    others.insert(path, what);
                }
                None => images.push(path.to_owned()),
            }
        }
        let is_image = |found: &&Found| !others.contains_key(found.path.as_str());
        let paths: Vec<&str> =
            self.found.iter().filter(is_image).map(|found| &found.path[found.prefix_len..]).collect();
        let error = match (images.as_slice(), rule) {
            ([], _) => None,
            (images, PatientRule::Pattern(pattern)) => Some(unmatched_error(images, &paths, pattern)),
            (images, _) => Some(unknown_error(images, &paths)),
        };
        if others.is_empty()
            && let Some(error) = error
        {
            return Err(error);
        }
        let lines: Vec<String> = others.iter().map(|(path, what)| format!("{path}: {what}")).collect();
        let rest = error.map_or_else(String::new, |error| format!("\nOther files: {error}"));
        bail!("{} files in the class folders are not images:\n{}{rest}", lines.len(), listed(&lines))
    }
}

/// The first bytes of a file, which identify its format.
pub(crate) fn head(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(head)
}

/// Sorted paths, relative to the root, of all files below a folder that are not hidden.
pub(crate) fn files_below(root: &Path, folder: &str) -> Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for name in list(root, &folder)? {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if root.join(&path).is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// Sorted names of the files and folders in a folder that are not hidden.
pub(crate) fn list(root: &Path, folder: &str) -> Result<Vec<String>> {
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
