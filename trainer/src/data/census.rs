//! The census: how many images of how many patients every class folder, and each of the two labels, has in every fold.

use crate::config::data::{Data, Label};
use crate::data::count::Count;
use crate::data::entry::Entry;
use crate::data::folds::{Fold, Folds, Shares};
use crate::data::index::Index;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// The folds in the order of their use.
pub const FOLDS: [Fold; 4] = [Fold::Train, Fold::Select, Fold::Calibrate, Fold::Test];

/// The counts of one division of one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// By class folder; every class that the configuration lists is there, also without an image.
    pub classes: BTreeMap<String, ClassCensus>,
    /// By fold: negative, positive.
    pub labels: BTreeMap<Fold, [Count; 2]>,
    /// Whether the test fold was drawn from all images; else it came with the data as a split of its own.
    pub test_is_drawn: bool,
}

/// One class folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCensus {
    /// What its images count as.
    pub label: Label,
    /// Images and patients by fold.
    pub folds: BTreeMap<Fold, Count>,
    /// Files that were left out because the configuration excludes the class.
    pub excluded: usize,
}

impl Census {
    /// Counts the images of every class and fold.
    pub fn new(index: &Index, folds: &Folds, data: &Data) -> Result<Self> {
        let empty = |label| ClassCensus { label, folds: BTreeMap::new(), excluded: 0 };
        let mut classes: BTreeMap<String, ClassCensus> =
            data.classes.iter().map(|(name, label)| (name.clone(), empty(*label))).collect();
        let name = |folder: &str| {
            let listed = data.classes.keys().find(|name| name.eq_ignore_ascii_case(folder));
            listed.cloned().unwrap_or_else(|| folder.to_owned())
        };
        for (folder, n) in &index.excluded {
            let class = folder.rsplit('/').next().unwrap_or(folder);
            classes.entry(name(class)).or_insert_with(|| empty(Label::Exclude)).excluded += n;
        }
        let fold_of: BTreeMap<&str, Fold> = folds
            .folds
            .iter()
            .flat_map(|(fold, paths)| paths.iter().map(|path| (path.as_str(), *fold)))
            .collect();
        let mut by_class: BTreeMap<(String, Fold), Tally> = BTreeMap::new();
        let mut labels: BTreeMap<Fold, [Tally; 2]> = FOLDS.map(|fold| (fold, <[Tally; 2]>::default())).into();
        for entry in &index.entries {
            let Some(fold) = fold_of.get(entry.path.as_str()) else { continue };
            let class = name(entry.class());
            let label = if entry.positive { Label::Positive } else { Label::Negative };
            classes.entry(class.clone()).or_insert_with(|| empty(label));
            by_class.entry((class, *fold)).or_default().add(entry);
            labels.entry(*fold).or_default()[usize::from(entry.positive)].add(entry);
        }
        for ((class, fold), tally) in by_class {
            if let Some(class) = classes.get_mut(&class) {
                class.folds.insert(fold, tally.count());
            }
        }
        Ok(Self {
            classes,
            labels: labels.into_iter().map(|(fold, of)| (fold, of.map(|tally| tally.count()))).collect(),
            test_is_drawn: Shares::of(index, data)?.test.is_some(),
        })
    }

    /// Negatives and positives of a fold.
    pub fn of_fold(&self, fold: Fold) -> [Count; 2] {
        self.labels.get(&fold).copied().unwrap_or_default()
    }

    /// What the test fold is called.
    pub const fn test_name(&self) -> &'static str {
        if self.test_is_drawn { "test fold, drawn by patient" } else { "test split of the data" }
    }

    /// The header of [`rows`](Self::rows).
    pub const HEADER: [&'static str; 7] =
        ["class folder", "counts as", "train", "select", "calibrate", "test", "left out"];

    /// A row a class: what it counts as, images and patients by fold, files that were left out.
    pub fn rows(&self) -> Vec<[String; 7]> {
        let row = |(name, class): (&String, &ClassCensus)| {
            let cell = |fold: Fold| {
                let Count { images, patients } = class.folds.get(&fold).copied().unwrap_or_default();
                format!("{images} of {patients} patients")
            };
            let [train, select, calibrate, test] = FOLDS.map(cell);
            let meaning = match class.label {
                Label::Negative => "negative",
                Label::Positive => "positive",
                Label::Exclude => "nothing: excluded",
            };
            [name.clone(), meaning.to_owned(), train, select, calibrate, test, class.excluded.to_string()]
        };
        self.classes.iter().map(row).collect()
    }
}

#[derive(Debug, Default)]
struct Tally<'a> {
    images: usize,
    patients: BTreeSet<&'a str>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, entry: &'a Entry) {
        self.images += 1;
        self.patients.insert(&entry.patient);
    }

    fn count(&self) -> Count {
        Count { images: self.images, patients: self.patients.len() }
    }
}
