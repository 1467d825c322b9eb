//! Makes the index: walks the folders, matches the table with the files, and applies the patient rule.

use super::defects::{Defects, Kind, listed};
use super::entry::{Entry, OfficialSplit};
use super::index::Index;
use super::patient::{PatientRule, by_pattern, known, unknown, unmatched};
use super::readable::foreign;
use super::table::{Line, Table};
use crate::config::Config;
use crate::config::data::{Data, Label, Layout};
use crate::progress::say;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Once;

/// Bytes from which a format is told.
const HEAD: u64 = 512;

/// How much of the data set a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it: a line of the table without a file is a mistake.
    Whole,
    /// Some of its files.
    Part,
}

impl Index {
    /// The configured data set. Where each file counts as a patient, that is said aloud, once a command.
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
    pub fn scan(root: &Path, data: &Data) -> Result<Self> {
        scan(root, data, Extent::Whole)
    }

    /// The same of a folder that holds some of the data set's files in the same layout, such as untouched originals: lines of the table
    /// whose file is not there are none of its concern.
    pub fn scan_part(root: &Path, data: &Data) -> Result<Self> {
        scan(root, data, Extent::Part)
    }
}

/// The index of a folder.
fn scan(root: &Path, data: &Data, extent: Extent) -> Result<Index> {
    ensure!(
        root.is_dir(),
        "{}: no such folder; set trainer.data.root or --data to the dataset, or CXR_DATA_DIR to the folder that holds it",
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
    scan.finish(extent)
}

/// A file of a class, before its patient is known.
struct Found {
    path: String,
    split: OfficialSplit,
    class: String,
    positive: bool,
    /// Bytes of the path before what lies below the class folder, or below the split where there are no class folders.
    below: usize,
}

/// An index in the making.
struct Scan<'a> {
    root: &'a Path,
    data: &'a Data,
    table: Option<Table>,
    defects: Defects,
    found: Vec<Found>,
    /// Files that a line may be about, those of excluded classes included.
    seen: BTreeSet<String>,
    excluded: BTreeMap<String, usize>,
    passed_over: Vec<String>,
    /// Class folders whose meaning is not configured.
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

    /// The files below `prefix`, which is empty or ends with a slash.
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
                below: folder.len() + 1,
            }));
        }
        Ok(())
    }

    /// Files whose class the table says, wherever they lie.
    fn labelled(&mut self, prefix: &str, split: OfficialSplit) -> Result<()> {
        for path in files_below(self.root, prefix.trim_end_matches('/'))? {
            let Some(line) = self.line(&path) else {
                if is_image(&self.root.join(&path))? {
                    self.defects.add(Kind::FileWithoutLine, path);
                } else {
                    self.passed_over.push(path);
                }
                continue;
            };
            self.seen.insert(path.clone());
            let Some((class, label)) = self.data.class(&line.label) else {
                let told = format!("line {}, column label: {:?} ({path})", line.number, line.label);
                self.defects.add(Kind::UnknownLabel, told);
                continue;
            };
            let class = class.to_owned();
            let folder = path[prefix.len()..].split_once('/').map(|(folder, _)| folder);
            let folder = folder.filter(|folder| self.data.label(folder).is_some());
            if let Some(folder) = folder.filter(|folder| !folder.eq_ignore_ascii_case(&class)) {
                let told =
                    format!("line {}, column label: {class}, in the folder {folder} ({path})", line.number);
                self.defects.add(Kind::Contradiction, told);
            }
            if label == Label::Exclude {
                *self.excluded.entry(format!("{prefix}{class}")).or_default() += 1;
                continue;
            }
            let below = prefix.len() + folder.map_or(0, |folder| folder.len() + 1);
            self.found.push(Found { path, split, class, positive: label == Label::Positive, below });
        }
        Ok(())
    }

    fn line(&self, path: &str) -> Option<Line> {
        self.table.as_ref()?.lines.get(path).cloned()
    }

    fn finish(mut self, extent: Extent) -> Result<Index> {
        ensure!(
            self.unlisted.is_empty(),
            "{}: trainer.data.classes does not list {}; set classes: {{ {} }} (each negative, positive or exclude)",
            self.root.display(),
            self.unlisted.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
            self.unlisted.iter().map(|class| format!("{class}: exclude")).collect::<Vec<_>>().join(", ")
        );
        self.check_table(extent)?;
        for (positive, label) in [(false, "negative"), (true, "positive")] {
            let trains = |found: &Found| matches!(found.split, OfficialSplit::Train | OfficialSplit::None);
            ensure!(
                self.found.iter().any(|found| found.positive == positive && trains(found)),
                "{}: no image of a {label} class to train on; trainer.data.classes lists {:?}. Images are looked for in {}",
                self.root.display(),
                self.data.classes,
                if self.table.as_ref().is_some_and(|table| table.has_labels) {
                    "all folders below it; the table says their classes"
                } else {
                    "one folder a class; where they lie in one folder, a table with the column label says their classes (trainer.data.table)"
                }
            );
        }
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.passed_over.sort();
        let patients = PatientRule::of(self.data);
        let names = self.patients(&patients)?;
        let entry = |(found, patient): (&Found, String)| {
            let path = found.path.clone();
            let bytes =
                std::fs::read(self.root.join(&path)).with_context(|| format!("{path}: cannot be read"))?;
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

    /// Refuses a table that does not fit the files, with everything that is wrong at once.
    fn check_table(&mut self, extent: Extent) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        if !table.has_labels {
            for found in self.found.iter().filter(|found| !table.lines.contains_key(&found.path)) {
                let told = match foreign_file(&self.root.join(&found.path))? {
                    Some(what) => format!("{}: {what}", found.path),
                    None => found.path.clone(),
                };
                self.defects.add(Kind::FileWithoutLine, told);
            }
        }
        let whole = extent == Extent::Whole;
        for (file, line) in table.lines.iter().filter(|(file, _)| whole && !self.seen.contains(*file)) {
            let is_there = self.root.join(file).is_file();
            let kind = if is_there { Kind::LineOutside } else { Kind::LineWithoutFile };
            self.defects.add(kind, format!("line {}: {file}", line.number));
        }
        self.defects.check(&format!("{} for {}", table.path.display(), self.root.display()))
    }

    /// The patient of every file that was found.
    fn patients(&self, rule: &PatientRule) -> Result<Vec<String>> {
        let below = |found: &Found| found.path[found.below..].to_owned();
        let file_name = |found: &Found| found.path.rsplit('/').next().unwrap_or_default().to_owned();
        let pattern = self.data.patient_pattern()?;
        let patient = |found: &Found| match rule {
            PatientRule::EachFile => Some(found.path.clone()),
            PatientRule::Table(_) => self.line(&found.path).map(|line| line.patient),
            PatientRule::Pattern(_) => by_pattern(&below(found), pattern.as_ref()?),
            PatientRule::KnownNames => known(&file_name(found)),
        };
        let told: Vec<Option<String>> = self.found.iter().map(patient).collect();
        let untold = self.found.iter().zip(&told).filter(|(_, patient)| patient.is_none());
        let untold: Vec<&str> = untold.map(|(found, _)| found.path.as_str()).collect();
        if untold.is_empty() {
            return Ok(told.into_iter().flatten().collect());
        }
        // A note or a DICOM file has no patient to be found in its name.
        let (mut strange, mut images) = (BTreeMap::new(), Vec::new());
        for path in untold {
            match foreign_file(&self.root.join(path))? {
                Some(what) => {
                    strange.insert(path, what);
                }
                None => images.push(path.to_owned()),
            }
        }
        let is_image = |found: &&Found| !strange.contains_key(found.path.as_str());
        let paths: Vec<&str> =
            self.found.iter().filter(is_image).map(|found| &found.path[found.below..]).collect();
        let unknown = match (images.as_slice(), rule) {
            ([], _) => None,
            (images, PatientRule::Pattern(pattern)) => Some(unmatched(images, &paths, pattern)),
            (images, _) => Some(unknown(images, &paths)),
        };
        let lines: Vec<String> = strange.iter().map(|(path, what)| format!("{path}: {what}")).collect();
        match unknown {
            Some(unknown) if strange.is_empty() => Err(unknown),
            None => bail!("{} files in the class folders are no images:\n{}", lines.len(), listed(&lines)),
            Some(unknown) => bail!(
                "{} files in the class folders are no images:\n{}\nof the others: {unknown}",
                lines.len(),
                listed(&lines)
            ),
        }
    }
}

/// What a file is that is no image; none for an image.
fn foreign_file(path: &Path) -> Result<Option<&'static str>> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(foreign(&head))
}

/// Whether a file begins as an image or as DICOM does.
fn is_image(path: &Path) -> Result<bool> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(cxr::decode::sniff(&bytes).is_some() || cxr::decode::is_dicom(&bytes))
}

/// Paths of all files in a folder and the folders in it that are not hidden, relative to the root.
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

/// Names in a folder that are not hidden, sorted.
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
