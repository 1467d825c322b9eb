//! `split`: divides the data, checks the folds for leakage and freezes them.

use crate::config::{Config, Screening};
use crate::data::count::{self, CountTable, count};
use crate::data::entry::Entry;
use crate::data::folds::{Fold, Folds, Shares};
use crate::data::index::Index;
use crate::data::patient::PatientRule;
use crate::data::readable::check_share;
use crate::data::screening::confounders::{self, Confounder};
use crate::data::screening::duplicates;
use crate::data::screening::leakage::Leakage;
use crate::data::screening::survey::{Survey, survey};
use crate::files;
use crate::progress::say;
use crate::run::{RunDirectory, SPLIT};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Columns = BTreeMap<String, BTreeMap<String, BTreeMap<Fold, usize>>>;

/// Content of `split.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    pub folds_sha256: String,
    pub dataset_sha256: String,
    pub seed: u64,
    pub audit: Screening,
    pub test_is_drawn: bool,
    pub counts: CountTable<Fold>,
    pub excluded: BTreeMap<String, usize>,
    pub passed_over: Vec<String>,
    pub unreadable: BTreeMap<String, String>,
    pub n_compared: usize,
    /// Empty if the division succeeded.
    pub leakage: Leakage,
    /// None in files from before the rule was recorded.
    #[serde(default)]
    pub patients: Option<PatientRule>,
    #[serde(default)]
    pub columns: Columns,
    #[serde(default)]
    pub confounders: Vec<Confounder>,
}

impl Split {
    /// None if there is no file, or one for other folds.
    pub fn load(run: &RunDirectory, folds_sha256: &str) -> Result<Option<Self>> {
        let found: Option<Self> = files::read_json(&run.file(SPLIT))?;
        Ok(found.filter(|found| found.folds_sha256 == folds_sha256))
    }
}

/// Divides the data, checks the division for leakage and freezes it. If a patient, a file or a near duplicate
/// is in two folds, it lists them all and freezes nothing.
pub fn split(config: &Config, index: &Index, run: &RunDirectory) -> Result<Split> {
    Folds::forget_stale(run, index)?;
    if run.folds().exists() {
        let folds = Folds::frozen(&run.folds(), index, config)?;
        let known = Split::load(run, &folds.digest()?)?
            .filter(|known| known.audit == config.audit && known.leakage.is_empty());
        if let Some(known) = known {
            say("the folds were checked before; nothing has changed");
            print(&known);
            return Ok(known);
        }
        let survey = survey(index, config, "all images")?;
        return checked(config, run, index, &folds, &survey);
    }
    let shares = Shares::of(index, &config.data)?;
    // A cheap check before every image is decoded.
    duplicates::check_copies(index, shares.test.is_none())?;
    let survey = survey(index, config, "all images")?;
    check_share(index, &survey.unreadable, config.data.max_unreadable_share)?;
    let folds = Folds::divide(index, &shares, config.seed, survey.unreadable.clone())?;
    let split = checked(config, run, index, &folds, &survey)?;
    files::write_json(&run.folds(), &folds)?;
    Ok(split)
}

fn checked(
    config: &Config,
    run: &RunDirectory,
    index: &Index,
    folds: &Folds,
    survey: &Survey,
) -> Result<Split> {
    let duplicates = duplicates::find(index, survey, &config.audit);
    let fold_of = folds.by_path();
    let parts: Vec<(Fold, &Entry)> =
        index.entries.iter().filter_map(|e| Some((*fold_of.get(e.path.as_str())?, e))).collect();
    let leakage =
        Leakage::of(index, &duplicates, |entry| fold_of.get(entry.path.as_str()).map(|fold| fold.name()));
    let mut columns: Columns = BTreeMap::new();
    for (fold, entry) in &parts {
        for (column, group) in &entry.columns {
            let groups = columns.entry(column.property().to_owned()).or_default();
            *groups.entry(group.clone()).or_default().entry(*fold).or_default() += 1;
        }
    }
    let split = Split {
        folds_sha256: folds.digest()?,
        dataset_sha256: folds.dataset_sha256.clone(),
        seed: folds.seed,
        audit: config.audit,
        test_is_drawn: Shares::of(index, &config.data)?.test.is_some(),
        counts: count(parts),
        excluded: index.excluded.clone(),
        passed_over: index.passed_over.clone(),
        unreadable: folds.unreadable.clone(),
        n_compared: duplicates.n_compared,
        leakage,
        patients: Some(index.patients.clone()),
        columns,
        confounders: confounders::find(index, survey, config.seed),
    };
    files::write_json(&run.file(SPLIT), &split)?;
    print(&split);
    if !split.leakage.is_empty() {
        bail!(
            "leakage between folds; remove one image of each pair, or assign both to one patient:\n{}",
            split.leakage.lines().join("\n")
        );
    }
    Ok(split)
}

fn print(split: &Split) {
    count::print(&split.counts, |fold| fold.name());
    for (folder, n) in &split.excluded {
        say(format!("  {folder}: {n} files excluded by trainer.data.classes"));
    }
    for (path, reason) in &split.unreadable {
        say(format!("  {path}: in no fold, {reason}"));
    }
    if !split.passed_over.is_empty() {
        say(format!("  ignored, as they are not class folders: {}", split.passed_over.join(", ")));
    }
    for (column, groups) in &split.columns {
        let group = |(group, folds): (&String, &BTreeMap<Fold, usize>)| {
            let folds = folds.iter().map(|(fold, n)| format!("{} {n}", fold.name()));
            format!("{group} ({})", folds.collect::<Vec<_>>().join(", "))
        };
        say(format!("  {column}: {}", groups.iter().map(group).collect::<Vec<_>>().join("; ")));
    }
    confounders::lines(&split.confounders).iter().for_each(say);
    let rule = split.patients.as_ref();
    // Otherwise `Index::of` has printed it.
    if let Some(rule) = rule.filter(|rule| rule.groups_files()) {
        say(rule.statement());
    }
    if split.leakage.is_empty() {
        // With one patient per file, the check proves nothing about patients.
        let patients = if rule.is_some_and(|rule| !rule.groups_files()) { "" } else { "patient, " };
        say(format!(
            "no {patients}file or near duplicate is in two folds ({} pairs compared in detail); folds {}",
            split.n_compared, split.folds_sha256
        ));
    }
}
