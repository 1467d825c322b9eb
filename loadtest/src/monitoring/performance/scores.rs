//! The scored images of a fold under each shift.

use super::Args;
use crate::monitoring::drift::images::{Shift, shifted};
use crate::monitoring::drift::score::Scorer;
use crate::terminal::progress;
use anyhow::{Context, Result};
use monitoring::performance::Scored;
use monitoring::performance::estimate::Known;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Shifts that change the image and hardly its reading.
pub(super) const BENIGN: [Shift; 5] =
    [Shift::None, Shift::Contrast, Shift::Gamma, Shift::Letters, Shift::Jpeg];
/// Shifts under which the network fails.
pub(super) const HARMFUL: [Shift; 2] = [Shift::Border, Shift::Adults];

/// Images by shift.
pub(super) struct Fold {
    pub(super) shifts: BTreeMap<Shift, Vec<Known>>,
    pub(super) ood_threshold: f64,
    pub(super) base_rate: f64,
}

impl Fold {
    pub(super) fn clean(&self) -> &[Known] {
        &self.shifts[&Shift::None]
    }
}

#[derive(Serialize, Deserialize)]
struct Row {
    probability: f64,
    threshold: f64,
    ood_score: f64,
    coordinates: Vec<f32>,
    patient: u64,
    positive: bool,
}

pub(super) struct Scores<'a> {
    args: &'a Args,
    scorer: Scorer,
    folds: BTreeMap<String, Vec<String>>,
    ood_threshold: f64,
    base_rate: f64,
}

impl<'a> Scores<'a> {
    pub(super) fn open(args: &'a Args) -> Result<Self> {
        #[derive(Deserialize)]
        struct Folds {
            folds: BTreeMap<String, Vec<String>>,
        }
        let read = |file: &Path| std::fs::read(file).with_context(|| file.display().to_string());
        let folds: Folds = serde_json::from_slice(&read(&args.folds)?)?;
        let manifest: serde_json::Value = serde_json::from_slice(&read(&args.bundle.join("bundle.json"))?)?;
        let reference: serde_json::Value =
            serde_json::from_slice(&read(&args.bundle.join("reference.json"))?)?;
        let variant = manifest["default_variant"].as_str().context("a default variant")?;
        let ood_threshold = manifest["variants"][variant]["policy"]["ood_threshold"].as_f64();
        std::fs::create_dir_all(&args.cache).with_context(|| args.cache.display().to_string())?;
        Ok(Self {
            args,
            scorer: Scorer::open(&args.bundle, &args.onnxruntime)?,
            folds: folds.folds,
            ood_threshold: ood_threshold.context("a threshold of the distance")?,
            base_rate: reference["base_rate"].as_f64().context("a base rate")?,
        })
    }

    /// The fold's images under `of`.
    pub(super) fn fold(&mut self, name: &str, of: &[Shift]) -> Result<Fold> {
        let files = self.folds.get(name).with_context(|| format!("no fold {name}"))?.clone();
        let files: Vec<PathBuf> =
            files.iter().map(|file| self.args.data.join("kermany224").join(file)).collect();
        let mut shifts = BTreeMap::new();
        for shift in of.iter().copied() {
            let files = if shift == Shift::Adults { adults(&self.args.data)? } else { files.clone() };
            shifts.insert(shift, self.shift(name, shift, &files)?);
        }
        Ok(Fold { shifts, ood_threshold: self.ood_threshold, base_rate: self.base_rate })
    }

    fn shift(&mut self, fold: &str, shift: Shift, files: &[PathBuf]) -> Result<Vec<Known>> {
        let fold = if shift == Shift::Adults { "nih" } else { fold };
        let cached = self.args.cache.join(format!("{fold}-{}.json", shift.file()));
        let rows: Vec<Row> = if let Ok(bytes) = std::fs::read(&cached) {
            serde_json::from_slice(&bytes).with_context(|| cached.display().to_string())?
        } else {
            progress(format_args!("scoring: {fold}, {}", shift.title()));
            let rows = self.score(shift, files)?;
            std::fs::write(&cached, serde_json::to_vec(&rows)?)?;
            rows
        };
        Ok(rows.into_iter().map(Row::known).collect())
    }

    fn score(&mut self, shift: Shift, files: &[PathBuf]) -> Result<Vec<Row>> {
        let mut patients: HashMap<String, u64> = HashMap::new();
        let mut row = |(index, file): (usize, &PathBuf)| -> Result<Row> {
            let mut bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            if !matches!(shift, Shift::None | Shift::Adults) {
                bytes = shifted(&bytes, shift, index)?;
            }
            let positive = file.parent().is_some_and(|class| class.ends_with("PNEUMONIA"));
            let scored = self.scorer.score(&bytes, positive)?;
            let next = patients.len() as u64;
            Ok(Row {
                probability: scored.probability,
                threshold: scored.threshold,
                ood_score: scored.ood_score,
                coordinates: scored.coordinates,
                patient: *patients.entry(patient(file)).or_insert(next),
                positive,
            })
        };
        files.iter().enumerate().map(&mut row).collect()
    }
}

impl Row {
    fn known(self) -> Known {
        let scored = Scored {
            probability: self.probability,
            threshold: self.threshold,
            ood_score: self.ood_score,
            coordinates: self.coordinates,
            patient_day: self.patient,
        };
        Known { scored, positive: self.positive, weight: 1.0 }
    }
}

/// The patient in a file name: `person12_bacteria_3`, `IM-0115-0001`, `NORMAL2-IM-0927-0001` or NIH's
/// `00000013_005`.
fn patient(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let n_parts = if name.starts_with("person") || name.starts_with("IM") { 2 } else { 3 };
    let n_parts = if name.starts_with(|c: char| c.is_ascii_digit()) { 1 } else { n_parts };
    name.split(['_', '-']).take(n_parts).collect::<Vec<_>>().join("-")
}

fn adults(data: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for class in ["NORMAL", "PNEUMONIA"] {
        let folder = data.join("nih_adult288").join(class);
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            files.push(entry?.path());
        }
    }
    files.sort();
    Ok(files)
}
