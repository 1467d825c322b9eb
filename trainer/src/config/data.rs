//! `trainer.data`: which images, and how they are divided.

use super::required::unstated;
use super::share::fraction;
use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `data`: which images, and how they are divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder of the dataset; empty where it is not stated.
    #[serde(deserialize_with = "unstated")]
    pub root: PathBuf,
    /// Folder of decoded pixels; none for the user's cache.
    pub cache: Option<PathBuf>,
    /// Human name; empty where it is not stated.
    #[serde(deserialize_with = "unstated")]
    pub name: String,
    /// How the folder is organised.
    pub layout: Layout,
    /// What each class folder means; names match without regard to case. Empty where it is not stated.
    pub classes: BTreeMap<String, Label>,
    /// Regular expression over a file's path below its class folder whose first group is the patient; none for another rule.
    pub patient_pattern: Option<String>,
    /// Share of the fold that chooses the epoch.
    pub select_fraction: f64,
    /// Share of the fold that fits calibration and operating point.
    pub calibrate_fraction: f64,
    /// Share of the test fold where the data has no test split of its own, or it is pooled.
    pub test_fraction: f64,
    /// Whether a published test split is pooled with the rest and a new one is drawn.
    pub pool_test: bool,
    /// Largest share of images that may be unreadable.
    pub max_unreadable_share: f64,
    /// CSV with the patient of each file, and what else is known of it.
    // Left out where it is not set: a run that was begun before this key existed goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// Whether each file counts as a patient of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_file_is_a_patient: bool,
}

/// How a dataset's folder is organised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Kaggle's where there is a folder `train`, else flat.
    Auto,
    /// `train|val|test / CLASS`.
    Kaggle,
    /// `CLASS`.
    Flat,
}

/// What the images of a class are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Counted as normal.
    Negative,
    /// Counted as pneumonia.
    Positive,
    /// Left out, and listed as such.
    Exclude,
}

/// A regular expression with a group.
pub(crate) fn grouped(key: &str, pattern: &str) -> Result<Regex> {
    let pattern = Regex::new(pattern).with_context(|| key.to_owned())?;
    ensure!(
        pattern.captures_len() > 1,
        "{key}: needs a group (...) around the part of the name that it is about"
    );
    Ok(pattern)
}

impl Data {
    /// What a class means; none for one that is not listed.
    pub fn label(&self, class: &str) -> Option<Label> {
        self.class(class).map(|(_, label)| label)
    }

    /// A class as the configuration writes it, and what it means.
    pub fn class(&self, class: &str) -> Option<(&str, Label)> {
        let found = self.classes.iter().find(|(name, _)| name.eq_ignore_ascii_case(class));
        found.map(|(name, label)| (name.as_str(), *label))
    }

    /// The compiled [`patient_pattern`](Self::patient_pattern).
    ///
    /// # Errors
    /// When it is no regular expression or has no group.
    pub fn patient_pattern(&self) -> Result<Option<Regex>> {
        const KEY: &str = "trainer.data.patient_pattern";
        self.patient_pattern.as_deref().map(|pattern| grouped(KEY, pattern)).transpose()
    }

    pub(super) fn check(&self) -> Result<()> {
        fraction("data.select_fraction", self.select_fraction)?;
        fraction("data.calibrate_fraction", self.calibrate_fraction)?;
        fraction("data.test_fraction", self.test_fraction)?;
        fraction("data.max_unreadable_share", self.max_unreadable_share)?;
        let held_out = self.select_fraction + self.calibrate_fraction + self.test_fraction;
        ensure!(
            held_out < 1.0,
            "trainer.data: select_fraction {}, calibrate_fraction {} and test_fraction {} leave nothing to train on; together they must be below 1",
            self.select_fraction,
            self.calibrate_fraction,
            self.test_fraction
        );
        for (label, name) in [(Label::Negative, "negative"), (Label::Positive, "positive")] {
            ensure!(
                self.classes.is_empty() || self.classes.values().any(|of_class| *of_class == label),
                "trainer.data.classes: no class is {name}; say which one is, as in classes: {{ NORMAL: negative, PNEUMONIA: positive }}"
            );
        }
        let folded: BTreeMap<String, &String> =
            self.classes.keys().map(|name| (name.to_ascii_lowercase(), name)).collect();
        ensure!(
            folded.len() == self.classes.len(),
            "trainer.data.classes: two names differ only in case; one entry serves both"
        );
        let rules = [self.patient_pattern.is_some(), self.table.is_some(), self.each_file_is_a_patient];
        ensure!(
            rules.into_iter().filter(|is_set| *is_set).count() <= 1,
            "trainer.data: patient_pattern, table and each_file_is_a_patient say in three ways who the patient is; set one of them"
        );
        self.patient_pattern().map(|_| ())
    }
}
