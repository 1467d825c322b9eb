//! What the card states about a run and its data, read from the run directory.

use crate::config::Config;
use crate::data::census::Census;
use crate::data::eda::Eda;
use crate::data::eda::examined::Examined;
use crate::data::folds::Fold;
use crate::data::split::Split;
use crate::fitness::{self, Fitness};
use crate::measure::calibrate::Calibrated;
use crate::measure::evaluate::external::ExternalEvaluation;
use crate::measure::evaluate::{EvaluationFile, named_groups};
use crate::measure::robustness::Robustness;
use crate::train::trained::TrainedRun;
use anyhow::Result;
use std::collections::BTreeSet;

#[derive(Debug)]
pub(in crate::export) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) census: Census,
    pub(super) fitness: Fitness,
    pub(super) eda: Option<Eda>,
    pub(super) split: Option<Split>,
    /// Evaluations of the test fold with these weights.
    pub(super) n_looks: usize,
    /// Properties with figures by group on select or test.
    pub(super) groups: BTreeSet<String>,
    pub(super) shifts: Vec<String>,
}

impl<'a> Facts<'a> {
    pub(in crate::export) fn of(trained: &TrainedRun<'a>, calibrated: &Calibrated) -> Result<Self> {
        let config = trained.config;
        let select = EvaluationFile::load(trained, calibrated, Fold::Select)?;
        let test = EvaluationFile::load(trained, calibrated, Fold::Test)?;
        let mut shifts = Vec::new();
        let robustness = Robustness::load(&trained.run.file(""))?
            .filter(|found| found.weights_sha256 == trained.weights_sha256);
        if let Some(suite) = robustness.and_then(|found| found.corruptions) {
            shifts.push(format!("{} corruptions of the select fold", suite.results.len()));
        }
        if let Some(external) = ExternalEvaluation::load(trained, calibrated)? {
            shifts.push(format!("images from elsewhere ({})", external.name.trim()));
        }
        let looks = trained.looks()?;
        Ok(Self {
            config,
            census: trained.census()?,
            fitness: fitness::judge(trained, calibrated)?,
            eda: Eda::load(trained.run)?.filter(|eda| eda.dataset_sha256 == trained.folds.dataset_sha256),
            split: Split::load(trained.run, &trained.folds.digest()?)?,
            n_looks: looks.iter().filter(|look| look.weights_sha256 == trained.weights_sha256).count(),
            groups: named_groups::properties(select.iter().chain(&test)),
            shifts,
        })
    }

    pub(in crate::export) const fn fitness(&self) -> &Fitness {
        &self.fitness
    }

    pub(super) fn sizes_of_originals(&self) -> String {
        let originals = self.eda.as_ref().and_then(|eda| eda.originals.as_ref());
        originals.map_or_else(|| "their sizes were not measured".to_owned(), sizes)
    }
}

/// Range of widths and heights over all classes, and file formats.
pub(super) fn sizes(examined: &Examined) -> String {
    let of = |get: fn(&crate::data::eda::examined::Properties) -> (f64, f64)| {
        let ends = examined.properties.values().map(get);
        ends.fold((f64::INFINITY, 0.0_f64), |all, one| (all.0.min(one.0), all.1.max(one.1)))
    };
    let (width, height) = (of(|p| (p.width.min, p.width.max)), of(|p| (p.height.min, p.height.max)));
    let formats: BTreeSet<&str> =
        examined.properties.values().flat_map(|p| p.formats.keys().map(String::as_str)).collect();
    let formats: Vec<&str> = formats.into_iter().collect();
    let side = |(low, high): (f64, f64)| {
        if low.to_bits() == high.to_bits() { format!("{low:.0}") } else { format!("{low:.0} to {high:.0}") }
    };
    format!("{} pixels wide, {} high, stored as {}", side(width), side(height), formats.join(", "))
}
