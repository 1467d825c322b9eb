//! Exploratory data analysis: properties, quality and label noise of a data set. The published test split is
//! only counted and searched for duplicates.
//!
//! `eda.json` is written after each of two stages: properties of the images, and label noise.

pub mod examined;
pub mod label_noise;
pub mod plots;
pub mod sheets;

use crate::config::Config;
use crate::data::count;
use crate::data::entry::OfficialSplit;
use crate::data::index::Index;
use crate::data::patient::PatientRule;
use crate::data::readable::check_share;
use crate::data::screening::confounders::{self, Confounder};
use crate::data::screening::duplicates::{self, Duplicates};
use crate::data::screening::leakage::Leakage;
use crate::data::screening::survey::survey;
use crate::files;
use crate::progress::say;
use crate::run::RunDirectory;
use anyhow::{Result, ensure};
use cxr::bundle::sha256_hex;
use examined::Examined;
use label_noise::LabelNoise;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Device;

const FILE: &str = "eda.json";
/// Increase it when the content of the file changes for the same data.
const CONTENT: u32 = 2;

/// Content of `eda.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eda {
    /// Digest of data and configuration.
    pub key: String,
    pub dataset_sha256: String,
    pub images: Examined,
    pub excluded: BTreeMap<String, usize>,
    /// Files and folders beside the class folders, which are ignored.
    pub passed_over: Vec<String>,
    pub unreadable: BTreeMap<String, String>,
    pub duplicates: Duplicates,
    pub leakage: Leakage,
    /// The images in `export.originals`.
    pub originals: Option<Examined>,
    pub patients: PatientRule,
    pub confounders: Vec<Confounder>,
    /// None before the second stage.
    pub label_noise: Option<LabelNoise>,
}

impl Eda {
    /// Reads `eda.json`, which may be for other data; see `dataset_sha256`.
    pub fn load(run: &RunDirectory) -> Result<Option<Self>> {
        files::read_json(&run.file(FILE))
    }
}

/// Writes `eda.json` and figures, and prints a summary. Fails after it has written the properties if more
/// images are unusable than the configuration allows.
pub fn eda(config: &Config, index: &Index, run: &RunDirectory, device: Device) -> Result<Eda> {
    let key = key(index, config)?;
    let known = Eda::load(run)?.filter(|known| known.key == key);
    let mut found = match known {
        Some(known) => {
            say("properties and duplicates are on file for this data");
            known
        }
        None => properties(config, run, index, key)?,
    };
    check_share(index, &found.unreadable, config.data.max_unreadable_share)?;
    if found.label_noise.is_none() {
        let (noise, scored) = label_noise::measure(config, index, &found.unreadable, device)?;
        run.write_figure("eda-label-noise.svg", plots::label_noise(&noise, &scored)?)?;
        if let Some(sheet) = sheets::suspects(index, config, &noise)? {
            run.write_figure("eda-suspects.png", sheet)?;
        }
        found.label_noise = Some(noise);
        files::write_json(&run.file(FILE), &found)?;
    }
    print(&found);
    Ok(found)
}

/// Digest of everything that the result depends on.
fn key(index: &Index, config: &Config) -> Result<String> {
    let weights = config.model.weights.as_deref().map(files::read).transpose()?;
    let weights = weights.map(|bytes| sha256_hex(&bytes));
    let originals = originals(config).map(|root| Index::scan_part(root, &config.data)).transpose()?;
    let originals = originals.map(|index| index.digest());
    let part = (CONTENT, index.digest(), originals, weights, config.training_part(), config.audit);
    Ok(sha256_hex(&serde_json::to_vec(&part)?))
}

fn originals(config: &Config) -> Option<&std::path::Path> {
    config.export.originals.as_deref().filter(|root| root.is_dir())
}

fn properties(config: &Config, run: &RunDirectory, index: &Index, key: String) -> Result<Eda> {
    let survey = survey(index, config, "all images")?;
    ensure!(
        survey.facts.iter().any(Option::is_some),
        "{}: no image can be used, for example {:?}",
        index.root.display(),
        survey.unreadable.first_key_value()
    );
    let duplicates = duplicates::find(index, &survey, &config.audit);
    let split = |split: OfficialSplit| (split != OfficialSplit::None).then(|| split.name());
    let leakage = Leakage::of(index, &duplicates, |entry| split(entry.split));
    let images = Examined::of(index, &survey, config)?;
    for (name, figure) in plots::images(index, &survey, &images)? {
        run.write_figure(&name, figure)?;
    }
    for (name, sheet) in sheets::findings(index, &survey, &duplicates, config)? {
        run.write_figure(name, sheet)?;
    }
    let originals = originals(config).map(|root| examine_originals(config, run, root)).transpose()?;
    let found = Eda {
        key,
        dataset_sha256: index.digest(),
        images,
        excluded: index.excluded.clone(),
        passed_over: index.passed_over.clone(),
        patients: index.patients.clone(),
        confounders: confounders::find(index, &survey, config.seed),
        unreadable: survey.unreadable,
        duplicates,
        leakage,
        originals,
        label_noise: None,
    };
    files::write_json(&run.file(FILE), &found)?;
    Ok(found)
}

fn examine_originals(config: &Config, run: &RunDirectory, root: &std::path::Path) -> Result<Examined> {
    let index = Index::scan_part(root, &config.data)?;
    let survey = survey(&index, config, "originals")?;
    check_share(&index, &survey.unreadable, config.data.max_unreadable_share)?;
    run.write_figure("eda-originals.svg", plots::sizes(&index, &survey)?)?;
    Examined::of(&index, &survey, config)
}

fn print(eda: &Eda) {
    let images = &eda.images;
    count::print(&images.counts, String::as_str);
    for (folder, n) in &eda.excluded {
        say(format!("  {folder}: {n} files excluded by trainer.data.classes"));
    }
    say(format!(
        "{} unreadable; {} groups of byte-equal files; {} near duplicates in {} pairs compared; across the published splits: {}",
        eda.unreadable.len(),
        eda.duplicates.exact.len(),
        eda.duplicates.near.len(),
        eda.duplicates.n_compared,
        if eda.leakage.is_empty() { "none" } else { "LEAKAGE" }
    ));
    eda.leakage.lines().iter().for_each(say);
    for files in &eda.duplicates.contradicting {
        say(format!("  byte-equal files in several classes, the labels contradict: {}", files.join(", ")));
    }
    // Otherwise `Index::of` has printed it.
    if eda.patients.groups_files() {
        say(eda.patients.statement());
    }
    confounders::lines(&eda.confounders).iter().for_each(say);
    for (path, reason) in &eda.unreadable {
        say(format!("  {path}: {reason}"));
    }
    images.print("images");
    if let Some(originals) = &eda.originals {
        originals.print("originals");
    }
    if let Some(noise) = &eda.label_noise {
        noise.print();
    }
}
