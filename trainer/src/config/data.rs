//! `trainer.data`: the data set and its division into folds.

use super::{check_fraction, unstated};
use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Empty if not stated.
    #[serde(deserialize_with = "unstated")]
    pub root: PathBuf,
    pub cache: Option<PathBuf>,
    /// Name for people; empty if not stated.
    #[serde(deserialize_with = "unstated")]
    pub name: String,
    pub layout: Layout,
    /// By class folder; upper and lower case are the same. Empty if not stated.
    pub classes: BTreeMap<String, Label>,
    pub patient_pattern: Option<String>,
    pub select_fraction: f64,
    pub calibrate_fraction: f64,
    pub test_fraction: f64,
    pub pool_test: bool,
    pub max_unreadable_share: f64,
    // Skipped if not set, so that runs from before this key existed keep their digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_file_is_a_patient: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `Kaggle` if there is a folder `train`, else `Flat`.
    Auto,
    /// `train|val|test / CLASS`.
    Kaggle,
    /// `CLASS`.
    Flat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    Negative,
    Positive,
    /// Left out of all folds, and counted.
    Exclude,
}

pub(crate) fn grouped(key: &str, pattern: &str) -> Result<Regex> {
    let pattern = Regex::new(pattern).with_context(|| key.to_owned())?;
    ensure!(pattern.captures_len() > 1, "{key}: needs a group (...) around the part of the name to extract");
    Ok(pattern)
}

impl Label {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Positive => "positive",
            Self::Exclude => "exclude",
        }
    }
}

impl Data {
    /// None if the class is not configured.
    pub fn label(&self, class: &str) -> Option<Label> {
        self.class(class).map(|(_, label)| label)
    }

    /// The class as spelt in the configuration, and its label.
    pub fn class(&self, class: &str) -> Option<(&str, Label)> {
        let found = self.classes.iter().find(|(name, _)| name.eq_ignore_ascii_case(class));
        found.map(|(name, label)| (name.as_str(), *label))
    }

    pub fn patient_pattern(&self) -> Result<Option<Regex>> {
        const KEY: &str = "trainer.data.patient_pattern";
        self.patient_pattern.as_deref().map(|pattern| grouped(KEY, pattern)).transpose()
    }

    pub(super) fn check(&self) -> Result<()> {
        check_fraction("data.select_fraction", self.select_fraction)?;
        check_fraction("data.calibrate_fraction", self.calibrate_fraction)?;
        check_fraction("data.test_fraction", self.test_fraction)?;
        check_fraction("data.max_unreadable_share", self.max_unreadable_share)?;
        let held_out = self.select_fraction + self.calibrate_fraction + self.test_fraction;
        ensure!(
            held_out < 1.0,
            "trainer.data: select_fraction {}, calibrate_fraction {} and test_fraction {} leave nothing to train on; together they must be below 1",
            self.select_fraction,
            self.calibrate_fraction,
            self.test_fraction
        );
        for wanted in [Label::Negative, Label::Positive] {
            ensure!(
                self.classes.is_empty() || self.classes.values().any(|label| *label == wanted),
                "trainer.data.classes: no class is {}; set one, as in classes: {{ NORMAL: negative, PNEUMONIA: positive }}",
                wanted.name()
            );
        }
        let folded: BTreeMap<String, &String> =
            self.classes.keys().map(|name| (name.to_ascii_lowercase(), name)).collect();
        ensure!(
            folded.len() == self.classes.len(),
            "trainer.data.classes: two names differ only in case; keep one of them"
        );
        let rules = [self.patient_pattern.is_some(), self.table.is_some(), self.each_file_is_a_patient];
        ensure!(
            rules.into_iter().filter(|is_set| *is_set).count() <= 1,
            "trainer.data: patient_pattern, table and each_file_is_a_patient are alternatives; set one of them"
        );
        self.patient_pattern().map(|_| ())
    }
}
