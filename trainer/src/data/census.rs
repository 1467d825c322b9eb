//! The census: images and patients by class folder and by label in every fold.

use crate::config::data::{Data, Label};
use crate::data::count::{Count, Tally};
use crate::data::folds::{Fold, Folds, Shares};
use crate::data::index::Index;
use anyhow::Result;
use std::collections::BTreeMap;

pub const FOLDS: [Fold; 4] = [Fold::Train, Fold::Select, Fold::Calibrate, Fold::Test];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// By class folder, including configured classes without images.
    pub classes: BTreeMap<String, ClassCensus>,
    /// Negative and positive, by fold.
    pub labels: BTreeMap<Fold, [Count; 2]>,
    /// Whether the test fold was drawn from all images, as opposed to the published test split.
    pub test_is_drawn: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCensus {
    pub label: Label,
    pub folds: BTreeMap<Fold, Count>,
    /// Files left out because the configuration excludes the class.
    pub excluded: usize,
}

impl Census {
    pub fn new(index: &Index, folds: &Folds, data: &Data) -> Result<Self> {
        let empty = |label| ClassCensus { label, folds: BTreeMap::new(), excluded: 0 };
        let mut classes: BTreeMap<String, ClassCensus> =
            data.classes.iter().map(|(name, label)| (name.clone(), empty(*label))).collect();
        let name = |folder: &str| data.class(folder).map_or(folder, |(name, _)| name).to_owned();
        for (folder, n) in &index.excluded {
            let class = folder.rsplit('/').next().unwrap_or(folder);
            classes.entry(name(class)).or_insert_with(|| empty(Label::Exclude)).excluded += n;
        }
        let fold_of = folds.by_path();
        let mut by_class: BTreeMap<(String, Fold), Tally> = BTreeMap::new();
        let mut labels: BTreeMap<Fold, [Tally; 2]> = FOLDS.map(|fold| (fold, <[Tally; 2]>::default())).into();
        for entry in &index.entries {
            let Some(fold) = fold_of.get(entry.path.as_str()) else { continue };
            let class = name(&entry.class);
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

    pub fn of_fold(&self, fold: Fold) -> [Count; 2] {
        self.labels.get(&fold).copied().unwrap_or_default()
    }

    pub const fn test_name(&self) -> &'static str {
        if self.test_is_drawn { "test fold, drawn by patient" } else { "test split of the data" }
    }

    pub const HEADER: [&'static str; 7] =
        ["class folder", "counts as", "train", "select", "calibrate", "test", "left out"];

    pub fn rows(&self) -> Vec<[String; 7]> {
        let row = |(name, class): (&String, &ClassCensus)| {
            let cell = |fold: Fold| {
                let Count { images, patients } = class.folds.get(&fold).copied().unwrap_or_default();
                format!("{images} of {patients} patients")
            };
            let [train, select, calibrate, test] = FOLDS.map(cell);
            let meaning =
                if class.label == Label::Exclude { "nothing: excluded" } else { class.label.name() };
            [name.clone(), meaning.to_owned(), train, select, calibrate, test, class.excluded.to_string()]
        };
        self.classes.iter().map(row).collect()
    }
}
