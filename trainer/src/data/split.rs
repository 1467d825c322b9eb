//! The split: screens the folds for leakage, freezes them, and records who is where.

use crate::config::{Config, Screening};
use crate::data::copies;
use crate::data::count::{CountTable, count, count_lines};
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

/// `split.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// [`Folds::digest`] of the folds that were checked.
    pub folds_sha256: String,
    /// Digest of the data.
    pub dataset_sha256: String,
    /// Seed of the division.
    pub seed: u64,
    /// How near duplicates were found.
    pub audit: Screening,
    /// Whether the test fold was drawn from all images and not published as such.
    pub test_is_drawn: bool,
    /// Images and patients by fold and class folder.
    pub counts: CountTable<Fold>,
    /// Files in class folders that the configuration excludes.
    pub excluded: BTreeMap<String, usize>,
    /// What lies beside the class folders and was not looked into.
    pub passed_over: Vec<String>,
    /// Images that cannot be used, with the reason.
    pub unreadable: BTreeMap<String, String>,
    /// Pairs of images that were compared in detail.
    pub n_compared: usize,
    /// What crosses the folds; empty in a run that goes on.
    pub leakage: Leakage,
    /// Who said which files are one patient's; none in files from before it had to be chosen.
    #[serde(default)]
    pub patients: Option<PatientRule>,
    /// Images by column of the table, group and fold.
    #[serde(default)]
    pub columns: BTreeMap<String, BTreeMap<String, BTreeMap<Fold, usize>>>,
    /// Properties that several images differ in, and how well each tells the class.
    #[serde(default)]
    pub confounders: Vec<Confounder>,
}

impl Split {
    /// What is on file for these folds.
    pub fn load(run: &RunDirectory, folds_sha256: &str) -> Result<Option<Self>> {
        let found: Option<Self> = files::read_json(&run.file(SPLIT))?;
        Ok(found.filter(|found| found.folds_sha256 == folds_sha256))
    }
}

/// Divides the data, checks the division for leakage and freezes it.
pub fn split(config: &Config, index: &Index, run: &RunDirectory) -> Result<Split> {
    Folds::forget_stale(run, index)?;
    if run.folds().exists() {
        let folds = Folds::frozen(&run.folds(), index, config)?;
        let known = Split::load(run, &folds.digest()?)?
            .filter(|known| known.audit == config.audit && known.leakage.is_empty());
        if let Some(known) = known {
            say("the folds were checked before; nothing has changed");
            report(&known);
            return Ok(known);
        }
        let survey = survey(index, config, "all images")?;
        return checked(config, run, index, &folds, &survey);
    }
    let shares = Shares::of(index, &config.data)?;
    // Before every image is decoded.
    copies::check(index, shares.test.is_none())?;
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
    let fold_of: BTreeMap<&str, Fold> = folds
        .folds
        .iter()
        .flat_map(|(fold, paths)| paths.iter().map(|path| (path.as_str(), *fold)))
        .collect();
    let parts = index.entries.iter().filter_map(|e| fold_of.get(e.path.as_str()).map(|fold| (*fold, e)));
    let leakage =
        Leakage::of(index, &duplicates, |entry| fold_of.get(entry.path.as_str()).map(|fold| fold.name()));
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
        columns: columns(index, &fold_of),
        confounders: confounders::find(index, survey, config.seed),
    };
    files::write_json(&run.file(SPLIT), &split)?;
    report(&split);
    if !split.leakage.is_empty() {
        bail!(
            "the folds leak into each other; remove one of each, or give them one patient:\n{}",
            split.leakage.lines().join("\n")
        );
    }
    Ok(split)
}

/// Images by column of the table, group and fold.
fn columns(
    index: &Index,
    fold_of: &BTreeMap<&str, Fold>,
) -> BTreeMap<String, BTreeMap<String, BTreeMap<Fold, usize>>> {
    let mut counts: BTreeMap<String, BTreeMap<String, BTreeMap<Fold, usize>>> = BTreeMap::new();
    for entry in &index.entries {
        let Some(fold) = fold_of.get(entry.path.as_str()) else { continue };
        for (column, group) in &entry.columns {
            let of_group =
                counts.entry(column.property().to_owned()).or_default().entry(group.clone()).or_default();
            *of_group.entry(*fold).or_default() += 1;
        }
    }
    counts
}

fn report(split: &Split) {
    for line in count_lines(split.counts.iter().map(|(fold, classes)| (fold.name(), classes))) {
        say(line);
    }
    for (folder, n) in &split.excluded {
        say(format!("  {folder}: {n} files excluded by trainer.data.classes"));
    }
    for (path, reason) in &split.unreadable {
        say(format!("  {path}: in no fold, {reason}"));
    }
    if !split.passed_over.is_empty() {
        say(format!("  passed over, as no class is theirs: {}", split.passed_over.join(", ")));
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
    // Where each file is a patient, every command has said so already.
    if let Some(rule) = rule.filter(|rule| rule.tells_patients()) {
        say(rule.statement());
    }
    if split.leakage.is_empty() {
        // Where each file is a patient, nothing was found because there was nothing to look for.
        let patients = if rule.is_some_and(|rule| !rule.tells_patients()) { "" } else { "patient, " };
        say(format!(
            "no {patients}file or near duplicate is in two folds ({} pairs compared in detail); folds {}",
            split.n_compared, split.folds_sha256
        ));
    }
}
