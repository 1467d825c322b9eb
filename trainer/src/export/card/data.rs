//! The card's sections about data: what varies, what it was evaluated on, what it was trained on.

use super::{Card, facts, table};
use crate::data::census::{Census, FOLDS};
use crate::data::folds::Fold;
use crate::measure::evaluate::named_groups;
use std::fmt::{self, Write as _};

impl Card<'_> {
    pub(super) fn write_factors(&self, text: &mut String) -> fmt::Result {
        let facts = self.facts;
        writeln!(text, "## Factors\n")?;
        let groups: Vec<&str> = facts.groups.iter().map(String::as_str).collect();
        let list = |items: &[&str]| {
            if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
        };
        writeln!(text, "- Figures by group, in the technical report: {}.", list(&groups))?;
        let missing = named_groups::unnamed(&facts.groups);
        if !missing.is_empty() {
            writeln!(
                text,
                "- Without figures, because the data names it for no image of select and test: {}.",
                missing.join(", ")
            )?;
        }
        let shifts: Vec<&str> = facts.shifts.iter().map(String::as_str).collect();
        writeln!(text, "- Shifts that were measured: {}.\n", list(&shifts))
    }

    pub(super) fn write_data(&self, text: &mut String) -> fmt::Result {
        self.write_evaluation_data(text)?;
        self.write_training_data(text)
    }

    fn write_evaluation_data(&self, text: &mut String) -> fmt::Result {
        let facts = self.facts;
        let n = |fold: Fold| -> usize { facts.census.of_fold(fold).iter().map(|count| count.images).sum() };
        writeln!(text, "## Evaluation data\n")?;
        writeln!(
            text,
            "- {} images to test on ({}); looks with these weights on record: {}.",
            n(Fold::Test),
            facts.census.test_name(),
            facts.n_looks
        )?;
        writeln!(
            text,
            "- Fold calibrate, {} images, which fitted probability and operating point; fold select, {} images, which chose the epoch.",
            n(Fold::Calibrate),
            n(Fold::Select)
        )?;
        let leakage = match &facts.split {
            Some(split) if split.leakage.is_empty() => {
                "checked: no patient, file or near duplicate is in two folds".to_owned()
            }
            Some(split) => format!(
                "found: {} patients, {} files and {} near duplicates are in two folds",
                split.leakage.patients.len(),
                split.leakage.exact.len(),
                split.leakage.near.len()
            ),
            None => "not checked: `cxr-trainer split` has not been run on these folds".to_owned(),
        };
        writeln!(text, "- Leakage between the folds, {leakage}.")?;
        let shares = FOLDS.map(|fold| {
            let [negative, positive] = facts.census.of_fold(fold).map(|count| count.images);
            format!("{} {:.3}", fold.name(), positive as f64 / (negative + positive).max(1) as f64)
        });
        writeln!(text, "- Share of positives: {}.\n", shares.join(", "))
    }

    fn write_training_data(&self, text: &mut String) -> fmt::Result {
        let (facts, training) = (self.facts, &self.manifest.training);
        writeln!(text, "## Training data\n")?;
        writeln!(
            text,
            "- {}: fold train, {} images; folds divided by patient and class, seed {}.",
            training.dataset.trim(),
            training.images.get(Fold::Train.name()).copied().unwrap_or_default(),
            training.seed
        )?;
        for (what, statement) in facts.config.provenance.of_data() {
            writeln!(text, "- {what}: {statement}.")?;
        }
        let stored = facts.eda.as_ref().map_or_else(
            || "not measured: `cxr-trainer eda` has not been run on this data".to_owned(),
            |eda| facts::sizes(&eda.images),
        );
        writeln!(text, "- Images as stored: {stored}.")?;
        writeln!(
            text,
            "- Digests: data {}, folds {}, configuration {}.\n",
            training.dataset_sha256, training.split_sha256, training.config_sha256
        )?;
        table(text, Census::HEADER, facts.census.rows())
    }
}
