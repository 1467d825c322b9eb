//! `trainer.tune`: the hyperparameter search.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Sections that a search must not vary: trials with other folds, seeds or goals are not comparable.
const FIXED: [&str; 10] = [
    "seed",
    "data",
    "calibration",
    "evaluation",
    "robustness",
    "export",
    "tracking",
    "tune",
    "provenance",
    "gates",
];

/// The weights of a run do not depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tune {
    pub max_trials: usize,
    pub rungs: Vec<usize>,
    pub reduction_factor: usize,
    pub sampler: Sampler,
    pub startup_trials: usize,
    pub objective: Objective,
    pub auc_tolerance: f64,
    pub budget_cpu_hours: f64,
    pub lease_seconds: f64,
    /// Range by key, without `trainer.`; null removes a key.
    pub space: BTreeMap<String, Option<Range>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Tree-structured Parzen estimator (Bergstra et al. 2011), after a quasi-random start.
    Tpe,
    /// Additive recurrence with a seeded shift.
    QuasiRandom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Class-weighted log loss on the select fold at the kept epoch; smaller is better.
    SelectLoss,
    /// AUC on the select fold at the kept epoch; larger is better.
    SelectAuc,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RangeKeys", into = "RangeKeys")]
pub enum Range {
    /// Lower and upper bound.
    Uniform([f64; 2]),
    /// Positive bounds; the logarithm is uniform.
    LogUniform([f64; 2]),
    Choice(Vec<Value>),
}

/// Exactly one is set. A later file can replace the kind of range: it sets the old key to null.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeKeys {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uniform: Option<[f64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_uniform: Option<[f64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choice: Option<Vec<Value>>,
}

impl TryFrom<RangeKeys> for Range {
    type Error = String;

    fn try_from(keys: RangeKeys) -> Result<Self, String> {
        match (keys.uniform, keys.log_uniform, keys.choice) {
            (Some([low, high]), None, None) if low < high => Ok(Self::Uniform([low, high])),
            (None, Some([low, high]), None) if 0.0 < low && low < high => Ok(Self::LogUniform([low, high])),
            (None, None, Some(values)) if !values.is_empty() => Ok(Self::Choice(values)),
            _ => {
                Err("takes one of uniform: [low, high], log_uniform: [low, high] (positive) and choice: [..]"
                    .to_owned())
            }
        }
    }
}

impl From<Range> for RangeKeys {
    fn from(range: Range) -> Self {
        match range {
            Range::Uniform(bounds) => Self { uniform: Some(bounds), ..Self::default() },
            Range::LogUniform(bounds) => Self { log_uniform: Some(bounds), ..Self::default() },
            Range::Choice(values) => Self { choice: Some(values), ..Self::default() },
        }
    }
}

impl Tune {
    pub fn ranges(&self) -> BTreeMap<String, Range> {
        self.space.iter().filter_map(|(key, range)| Some((key.clone(), range.clone()?))).collect()
    }

    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.max_trials > 0, "trainer.tune.max_trials: at least 1");
        ensure!(
            self.rungs.first().is_some_and(|first| *first > 0) && self.rungs.is_sorted_by(|a, b| a < b),
            "trainer.tune.rungs: epochs from 1, ascending"
        );
        ensure!(self.reduction_factor > 1, "trainer.tune.reduction_factor: at least 2");
        ensure!(self.startup_trials > 0, "trainer.tune.startup_trials: at least 1");
        ensure!(self.auc_tolerance >= 0.0, "trainer.tune.auc_tolerance: not negative");
        ensure!(self.budget_cpu_hours > 0.0, "trainer.tune.budget_cpu_hours: must be positive");
        ensure!(self.lease_seconds >= 1.0, "trainer.tune.lease_seconds: at least 1");
        for key in self.space.keys() {
            let section = key.split('.').next().unwrap_or_default();
            ensure!(!FIXED.contains(&section), "trainer.tune.space: {key} cannot be searched");
        }
        Ok(())
    }
}
