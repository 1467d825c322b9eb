//! A study: definition, trials and claims. Plain data; the stores keep it, the scheduler changes it.

use super::space::Parameters;
use crate::config::Config;
use crate::config::tune::{Objective, Range, Sampler};
use crate::data::index::Index;
use crate::run::frozen;
use crate::train::checkpoint::Progress;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginOutcome {
    /// Created, or found with the same definition.
    Unchanged,
    /// Emptied for a new definition; nothing had been trained.
    Reset,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// [`Config::digest`] of the base configuration.
    pub config_sha256: String,
    /// Missing in studies of earlier versions.
    #[serde(default)]
    pub dataset_sha256: Option<String>,
    /// What the weights depend on, without the drawn values. Missing in studies of earlier versions.
    #[serde(default)]
    pub configuration: Option<Value>,
    /// Seeds the draws and every training.
    pub seed: u64,
    pub sampler: Sampler,
    pub startup_trials: usize,
    pub objective: Objective,
    /// See [`Tune::auc_tolerance`](crate::config::Tune::auc_tolerance).
    pub auc_tolerance: f64,
    pub rungs: Vec<usize>,
    /// One trial in this many is promoted.
    pub reduction_factor: usize,
    pub space: BTreeMap<String, Range>,
}

impl Definition {
    pub fn of(config: &Config, index: &Index) -> Result<Self> {
        let tune = &config.tune;
        Ok(Self {
            config_sha256: config.digest()?,
            dataset_sha256: Some(index.digest()),
            configuration: Some(serde_json::to_value(config.training_part())?),
            seed: config.seed,
            sampler: tune.sampler,
            startup_trials: tune.startup_trials,
            objective: tune.objective,
            auc_tolerance: tune.auc_tolerance,
            rungs: tune.rungs.clone(),
            reduction_factor: tune.reduction_factor,
            space: tune.ranges(),
        })
    }

    fn tree(&self) -> Result<Value> {
        let mut tree = self.configuration.clone().unwrap_or_else(|| json!({ "digest": self.config_sha256 }));
        let mut tune = serde_json::to_value(self)?;
        if let Some(fields) = tune.as_object_mut() {
            let elsewhere = ["config_sha256", "dataset_sha256", "configuration", "seed"];
            fields.retain(|field, _| !elsewhere.contains(&field.as_str()));
        }
        tree["tune"] = tune;
        tree["seed"] = self.seed.into();
        Ok(tree)
    }

    fn differences(&self, begun: &Self) -> Result<Option<String>> {
        // Older studies hold only the digest.
        let then = begun.tree()?;
        let now = match begun.configuration {
            Some(_) => self.tree()?,
            None => Self { configuration: None, ..self.clone() }.tree()?,
        };
        let changes = frozen::differences(&then, &now);
        let mut lines = Vec::new();
        if begun.dataset_sha256.is_some() && begun.dataset_sha256 != self.dataset_sha256 {
            lines.push("  the data: other files".to_owned());
        }
        if !changes.is_empty() {
            lines.push(frozen::listed(&changes));
        }
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Claimed by a worker, which may be lost.
    Running,
    /// At a rung, and may be promoted to the next.
    #[default]
    Paused,
    Finished,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Machine, process and start time.
    pub worker: String,
    pub host: String,
    /// The rung to train to, counted from 0.
    pub rung: usize,
    /// When the lease expires without a heartbeat, in seconds of the store's clock.
    pub lease_until: f64,
    /// CPU seconds spent on this claim, as of the last heartbeat.
    pub cpu_seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungResult {
    pub epochs: usize,
    pub best_epoch: usize,
    /// The objective to minimise: the loss or the negated AUC.
    pub value: f64,
    /// Class-weighted log loss on the select fold.
    pub select_loss: f64,
    /// Area under the ROC curve on the select fold.
    pub select_auc: f64,
    /// CPU seconds between the previous rung and this one, lost work included.
    pub cpu_seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochPoint {
    pub epoch: usize,
    pub train_loss: f64,
    pub select_loss: f64,
    pub select_auc: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Counted from 0, in the order of the draws.
    pub number: usize,
    pub parameters: Parameters,
    pub state: TrialState,
    /// Incremented by every claim. Holders of an older generation may write nothing.
    pub generation: u64,
    pub claim: Option<Claim>,
    /// One per rung reached.
    pub rungs: Vec<RungResult>,
    /// Every epoch up to the last rung reached.
    pub epochs: Vec<EpochPoint>,
    /// CPU seconds, lost work included.
    pub cpu_seconds: f64,
    /// How often it was taken over from a lost worker.
    pub n_takeovers: usize,
    pub workers: Vec<String>,
    pub error: Option<String>,
}

impl Trial {
    pub fn new(number: usize, parameters: Parameters) -> Self {
        Self { number, parameters, ..Self::default() }
    }

    /// Includes the current claim as of its last heartbeat.
    pub(super) fn total_cpu_seconds(&self) -> f64 {
        self.cpu_seconds + self.claim.as_ref().map_or(0.0, |claim| claim.cpu_seconds)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    pub definition: Definition,
    pub trials: Vec<Trial>,
}

impl Study {
    /// Accepts a definition that matches, or one that differs while nothing has been trained.
    pub(super) fn begin(&self, definition: &Definition) -> Result<BeginOutcome> {
        let Some(differences) = definition.differences(&self.definition)? else {
            return Ok(BeginOutcome::Unchanged);
        };
        let is_untrained = self.trials.iter().all(|trial| trial.rungs.is_empty() && trial.claim.is_none());
        ensure!(
            is_untrained,
            "trials of this study were trained with other values:\n{differences}\nRestore them to continue, or choose another --study"
        );
        Ok(BeginOutcome::Reset)
    }

    /// Running trials count as of their last heartbeat.
    pub fn cpu_seconds(&self) -> f64 {
        self.trials.iter().map(Trial::total_cpu_seconds).sum()
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.trials.iter().filter_map(|trial| trial.claim.as_ref())
    }

    /// Trials that reached a rung, the best first; trials whose AUC falls behind come last.
    pub fn ranked(&self, rung: usize) -> Vec<&Trial> {
        let mut reached: Vec<(&Trial, &RungResult)> =
            self.trials.iter().filter_map(|trial| Some((trial, trial.rungs.get(rung)?))).collect();
        let best_auc = reached.iter().map(|(_, result)| result.select_auc).fold(0.0, f64::max);
        let behind = |result: &RungResult| result.select_auc < best_auc - self.definition.auc_tolerance;
        reached.sort_by(|(a, left), (b, right)| {
            let by_auc = behind(left).cmp(&behind(right));
            by_auc.then(left.value.total_cmp(&right.value)).then(a.number.cmp(&b.number))
        });
        reached.into_iter().map(|(trial, _)| trial).collect()
    }

    /// The best trial of the highest rung reached: trials are only comparable at the same rung.
    pub fn best(&self) -> Option<(&Trial, &RungResult)> {
        let highest = self.trials.iter().map(|trial| trial.rungs.len()).max()?.checked_sub(1)?;
        let best = *self.ranked(highest).first()?;
        Some((best, best.rungs.get(highest)?))
    }

    pub(super) fn result(&self, rung: usize, progress: &Progress, cpu_seconds: f64) -> Option<RungResult> {
        let best = progress.best()?;
        let value = match self.definition.objective {
            Objective::SelectLoss => best.select_loss,
            Objective::SelectAuc => -best.select_auc,
        };
        Some(RungResult {
            epochs: self.definition.rungs[rung],
            best_epoch: best.epoch,
            value,
            select_loss: best.select_loss,
            select_auc: best.select_auc,
            cpu_seconds,
        })
    }
}
