//! The folds: which image trains, which selects the epoch, which calibrates. Patients never cross a fold, classes keep
//! their shares, and the division is frozen to a file that later steps must agree with.

use super::index::{Entry, Index, OfficialSplit};
use crate::files;
use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    /// Trains.
    Train,
    /// Chooses the epoch.
    Select,
    /// Fits calibration and operating point.
    Calibrate,
    /// The published test split.
    Test,
}

impl Fold {
    /// The name used in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Select => "select",
            Self::Calibrate => "calibrate",
            Self::Test => "test",
        }
    }
}

/// The division of one dataset, as `folds.json` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folds {
    /// [`Index::digest`] of the data that was divided.
    pub dataset_sha256: String,
    /// Seed of the division.
    pub seed: u64,
    /// Paths by fold, sorted.
    pub folds: BTreeMap<Fold, Vec<String>>,
}

impl Folds {
    /// Divides the official train and val splits, pooled; the official test split becomes the test fold.
    ///
    /// # Errors
    /// When a fold would hold only one class.
    pub fn divide(index: &Index, select_fraction: f64, calibrate_fraction: f64, seed: u64) -> Result<Self> {
        check_labels(index)?;
        let mut folds: BTreeMap<Fold, Vec<String>> = BTreeMap::new();
        let (test, pooled): (Vec<&Entry>, Vec<&Entry>) =
            index.entries.iter().partition(|entry| entry.split == OfficialSplit::Test);
        folds.insert(Fold::Test, test.iter().map(|entry| entry.path.clone()).collect());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (negative, positive): (Vec<Group>, Vec<Group>) =
            groups(&pooled).into_iter().partition(|group| !group.positive);
        for mut groups in [negative, positive] {
            groups.shuffle(&mut rng);
            let n_images: usize = groups.iter().map(|group| group.paths.len()).sum();
            let quota = |fraction: f64| (n_images as f64 * fraction).round() as usize;
            let mut groups = groups.into_iter();
            for (fold, wanted) in
                [(Fold::Select, quota(select_fraction)), (Fold::Calibrate, quota(calibrate_fraction))]
            {
                let paths = folds.entry(fold).or_default();
                let mut taken = 0;
                while taken < wanted {
                    let Some(group) = groups.next() else { break };
                    taken += group.paths.len();
                    paths.extend(group.paths);
                }
            }
            folds.entry(Fold::Train).or_default().extend(groups.flat_map(|group| group.paths));
        }
        for paths in folds.values_mut() {
            paths.sort();
        }
        let division = Self { dataset_sha256: index.digest(), seed, folds };
        for fold in [Fold::Train, Fold::Select, Fold::Calibrate] {
            let classes: BTreeSet<bool> =
                division.entries(index, fold)?.iter().map(|entry| entry.positive).collect();
            ensure!(
                classes.len() == 2,
                "the {} fold would not hold both classes: too few patients",
                fold.name()
            );
        }
        Ok(division)
    }

    /// The division frozen in `file`, or a new one, frozen there.
    ///
    /// # Errors
    /// When the frozen division does not belong to this data or this configuration.
    pub fn frozen(file: &Path, index: &Index, data: &crate::config::Data, seed: u64) -> Result<Self> {
        let fresh = Self::divide(index, data.select_fraction, data.calibrate_fraction, seed)?;
        if !file.exists() {
            files::write_json(file, &fresh)?;
            return Ok(fresh);
        }
        let text = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let frozen: Self =
            serde_json::from_slice(&text).with_context(|| format!("{}: not a folds file", file.display()))?;
        ensure!(
            frozen.dataset_sha256 == fresh.dataset_sha256,
            "{}: was frozen for other data (digest {}, the data in {} has {}): use that data or start another run",
            file.display(),
            frozen.dataset_sha256,
            index.root.display(),
            fresh.dataset_sha256
        );
        ensure!(
            frozen == fresh,
            "{}: does not follow from this configuration; start another run",
            file.display()
        );
        Ok(frozen)
    }

    /// SHA-256 of the division.
    pub fn digest(&self) -> Result<String> {
        Ok(cxr::bundle::sha256_hex(&serde_json::to_vec(self)?))
    }

    /// The entries of a fold, in the order of their paths.
    ///
    /// # Errors
    /// When the index lacks one of them.
    pub fn entries(&self, index: &Index, fold: Fold) -> Result<Vec<Entry>> {
        let paths = self.folds.get(&fold).map_or(&[][..], Vec::as_slice);
        let entry = |path: &String| {
            let found = index.entries.binary_search_by(|entry| entry.path.cmp(path));
            found
                .map(|i| index.entries[i].clone())
                .ok()
                .with_context(|| format!("{path}: not in the dataset"))
        };
        paths.iter().map(entry).collect()
    }
}

/// A file in both classes, or in the test split and outside it, makes every figure wrong.
fn check_labels(index: &Index) -> Result<()> {
    let mut first: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in &index.entries {
        let known = *first.entry(&entry.sha256).or_insert(entry);
        let is_test = |entry: &Entry| entry.split == OfficialSplit::Test;
        ensure!(
            known.positive == entry.positive && is_test(known) == is_test(entry),
            "{} and {} are the same file: remove one",
            known.path,
            entry.path
        );
    }
    Ok(())
}

/// Images that must stay together: those of one patient, and of patients who share a byte-equal file.
struct Group {
    /// The class of at least half of its images; a patient who was imaged before and during a pneumonia has both.
    positive: bool,
    paths: Vec<String>,
}

fn groups(entries: &[&Entry]) -> Vec<Group> {
    // Every patient's smallest connected patient, found by following shared files until nothing changes.
    let mut root: BTreeMap<&str, &str> =
        entries.iter().map(|e| (e.patient.as_str(), e.patient.as_str())).collect();
    let mut by_file: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in entries {
        by_file.entry(&entry.sha256).or_default().insert(&entry.patient);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for patients in by_file.values().filter(|patients| patients.len() > 1) {
            let smallest = patients.iter().filter_map(|patient| root.get(patient).copied()).min();
            for patient in patients {
                if let Some(smallest) = smallest.filter(|smallest| root[patient] != *smallest) {
                    root.insert(patient, smallest);
                    changed = true;
                }
            }
        }
    }
    let mut members: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        members.entry(root[entry.patient.as_str()]).or_default().push(entry);
    }
    let group = |members: Vec<&Entry>| Group {
        positive: members.iter().filter(|entry| entry.positive).count() * 2 >= members.len(),
        paths: members.iter().map(|entry| entry.path.clone()).collect(),
    };
    members.into_values().map(group).collect()
}
