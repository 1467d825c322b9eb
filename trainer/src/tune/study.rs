//! A study: definition, trials and claims. Plain data; stores keep it, the scheduler changes it.

use super::space::Parameters;
use crate::config::Config;
use crate::config::tune::{Objective, Range, Sampler};
use crate::data::index::Index;
use crate::run::frozen;
use crate::train::checkpoint::Progress;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// How a study was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// For the first time, or it was found.
    Plainly,
    /// Again, with another definition: nothing was trained with the old one.
    Anew,
}

/// What makes the trials of a study comparable: frozen when it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// [`Config::digest`] of the configuration under the drawn values.
    pub config_sha256: String,
    /// Digest of the data; none in a study that was begun before it was kept.
    #[serde(default)]
    pub dataset_sha256: Option<String>,
    /// What the weights depend on under the drawn values; none in a study that was begun before it was kept.
    #[serde(default)]
    pub configuration: Option<Value>,
    /// Seed of the draws, and of everything else.
    pub seed: u64,
    /// How configurations are drawn.
    pub sampler: Sampler,
    /// Trials before the sampler learns.
    pub startup_trials: usize,
    /// What trials are ranked by.
    pub objective: Objective,
    /// See [`Tune::auc_tolerance`](crate::config::Tune::auc_tolerance).
    pub auc_tolerance: f64,
    /// Epochs after which trials are compared.
    pub rungs: Vec<usize>,
    /// One of so many goes on.
    pub reduction_factor: usize,
    /// What is varied.
    pub space: BTreeMap<String, Range>,
}

impl Definition {
    /// The definition that a configuration gives on this data.
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

    /// The keys of the configuration that make it, as one tree.
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

    /// What stands in the way of going on with a study that was begun as `begun`; none where nothing does.
    fn obstacle(&self, begun: &Self) -> Result<Option<String>> {
        // Older studies know the digest alone.
        let then = begun.tree()?;
        let now = match begun.configuration {
            Some(_) => self.tree()?,
            None => Self { configuration: None, ..self.clone() }.tree()?,
        };
        let changes = frozen::differences(&then, &now);
        let other_data = begun.dataset_sha256.is_some() && begun.dataset_sha256 != self.dataset_sha256;
        let data = other_data.then(|| "  the data: other files than it was begun with".to_owned());
        let keys = (!changes.is_empty()).then(|| frozen::listed(&changes));
        let lines: Vec<String> = data.into_iter().chain(keys).collect();
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    }
}

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Somebody works on it, or did until he was lost.
    Running,
    /// It reached a rung and may go on to the next.
    Paused,
    /// It reached the last rung.
    Finished,
    /// Training stopped with an error.
    Failed,
}

/// Who works on a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The worker: machine, process and when it began.
    pub worker: String,
    /// Its machine.
    pub host: String,
    /// The rung to be reached, counted from 0.
    pub rung: usize,
    /// Until when it holds the trial unless it is heard of, in seconds of the store's clock.
    pub lease_until: f64,
    /// Processor seconds that it has spent, as of its last sign of life.
    pub cpu_seconds: f64,
}

/// How a trial stood at a rung: the epoch whose weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungResult {
    /// Epochs of the rung.
    pub epochs: usize,
    /// The best of them.
    pub best_epoch: usize,
    /// The objective; smaller is better (an area under the curve is negated).
    pub value: f64,
    /// Class-weighted log loss on the select fold.
    pub select_loss: f64,
    /// Area under the ROC curve there.
    pub select_auc: f64,
    /// Processor seconds from the previous rung to this one, lost work included.
    pub cpu_seconds: f64,
}

/// One epoch of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochPoint {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss over the augmented train fold.
    pub train_loss: f64,
    /// On the select fold.
    pub select_loss: f64,
    /// On the select fold.
    pub select_auc: f64,
}

/// One configuration and how it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Counted from 0, in the order of the draws.
    pub number: usize,
    /// What was drawn.
    pub parameters: Parameters,
    /// Where it stands.
    pub state: TrialState,
    /// Grows by one with every claim: whoever holds an older one writes nothing.
    pub generation: u64,
    /// Who works on it.
    pub claim: Option<Claim>,
    /// One for each rung that was reached.
    pub rungs: Vec<RungResult>,
    /// Every epoch up to the last rung that was reached.
    pub epochs: Vec<EpochPoint>,
    /// Processor seconds, lost work included.
    pub cpu_seconds: f64,
    /// How often it was taken over from a worker that was lost.
    pub n_takeovers: usize,
    /// Every worker that held it, in order.
    pub workers: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Trial {
    /// A trial that nobody has begun.
    pub const fn new(number: usize, parameters: Parameters) -> Self {
        Self {
            number,
            parameters,
            state: TrialState::Paused,
            generation: 0,
            claim: None,
            rungs: Vec::new(),
            epochs: Vec::new(),
            cpu_seconds: 0.0,
            n_takeovers: 0,
            workers: Vec::new(),
            error: None,
        }
    }
}

/// Everything that the workers of a study share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// What it is.
    pub definition: Definition,
    /// By number.
    pub trials: Vec<Trial>,
}

impl Study {
    /// Goes on with this definition, or says that the study may begin anew with it.
    ///
    /// # Errors
    /// When trials were trained with another.
    pub(super) fn begin(&self, definition: &Definition) -> Result<Begun> {
        let Some(obstacle) = definition.obstacle(&self.definition)? else { return Ok(Begun::Plainly) };
        let is_untrained = self.trials.iter().all(|trial| trial.rungs.is_empty() && trial.claim.is_none());
        ensure!(
            is_untrained,
            "trials of this study were trained with other values:\n{obstacle}\nRestore them to go on, or choose another --study"
        );
        Ok(Begun::Anew)
    }

    /// Processor seconds so far, of those at work as of their last sign of life.
    pub fn cpu_seconds(&self) -> f64 {
        self.trials
            .iter()
            .map(|trial| trial.cpu_seconds + trial.claim.as_ref().map_or(0.0, |claim| claim.cpu_seconds))
            .sum()
    }

    /// Trials that reached a rung, the best first. Those whose area under the curve falls behind come last.
    pub fn ranked(&self, rung: usize) -> Vec<&Trial> {
        let mut reached: Vec<(&Trial, &RungResult)> =
            self.trials.iter().filter_map(|trial| Some((trial, trial.rungs.get(rung)?))).collect();
        let best_auc = reached.iter().map(|(_, result)| result.select_auc).fold(0.0, f64::max);
        let behind = |result: &RungResult| result.select_auc < best_auc - self.definition.auc_tolerance;
        reached.sort_by(|(a, left), (b, right)| {
            let by_guard: Ordering = behind(left).cmp(&behind(right));
            by_guard.then(left.value.total_cmp(&right.value)).then(a.number.cmp(&b.number))
        });
        reached.into_iter().map(|(trial, _)| trial).collect()
    }

    /// The best trial of the highest rung that any has reached: only there they are comparable.
    pub fn best(&self) -> Option<(&Trial, &RungResult)> {
        let highest = self.trials.iter().map(|trial| trial.rungs.len()).max()?.checked_sub(1)?;
        let best = *self.ranked(highest).first()?;
        Some((best, best.rungs.get(highest)?))
    }

    /// How a trial stands after training to a rung.
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
