//! The results of a study: `tune.json`, `best.yaml`, a plot, and the table of `--status`.

use super::directory::StudyDirectory;
use super::plots;
use super::reasons::{Comparison, comparisons, reasons};
use super::scheduler::Next;
use super::space::{self, Parameters, apply};
use super::store::Store;
use super::study::{Definition, RungResult, Study, Trial, TrialState};
use crate::config::Config;
use crate::files::{create_folder, read_json, write_atomically, write_json};
use crate::run::environment::now;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

const FILE: &str = "tune.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneFile {
    /// RFC 3339.
    pub written: String,
    pub definition: Definition,
    pub max_trials: usize,
    /// Limit on the CPU hours of all trials.
    pub budget_cpu_hours: f64,
    /// Including lost work.
    pub spent_cpu_hours: f64,
    pub ended: Option<Ended>,
    pub trials: Vec<Trial>,
    pub best: Option<BestTrial>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every trial has reached the rung that successive halving wants.
    Complete,
    /// The next job would probably have exceeded the budget.
    OutOfBudget,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestTrial {
    /// Its run directory is `trials/NNNN`.
    pub trial: usize,
    pub parameters: Parameters,
    pub epochs: usize,
    /// The epoch whose weights are kept.
    pub best_epoch: usize,
    pub select_loss: f64,
    pub select_auc: f64,
    pub n_compared: usize,
    /// One per rung; empty in studies of earlier versions.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    #[serde(default)]
    pub reasons: Vec<String>,
}

impl TuneFile {
    pub fn load(study: &Path) -> Result<Option<Self>> {
        read_json(&study.join(FILE))
    }

    fn of(study: &Study, config: &Config, end: Option<&Next>) -> Result<Self> {
        let best = study.best().map(|(trial, result)| BestTrial {
            trial: trial.number,
            parameters: trial.parameters.clone(),
            epochs: result.epochs,
            best_epoch: result.best_epoch,
            select_loss: result.select_loss,
            select_auc: result.select_auc,
            n_compared: study.ranked(trial.rungs.len() - 1).len(),
            comparisons: comparisons(study, trial),
            reasons: reasons(study, trial),
        });
        Ok(Self {
            written: now()?,
            definition: study.definition.clone(),
            max_trials: config.tune.max_trials,
            budget_cpu_hours: config.tune.budget_cpu_hours,
            spent_cpu_hours: study.cpu_seconds() / 3600.0,
            ended: match end {
                Some(Next::Complete) => Some(Ended::Complete),
                Some(Next::OutOfBudget) => Some(Ended::OutOfBudget),
                _ => None,
            },
            trials: study.trials.clone(),
            best,
        })
    }
}

/// Runs under the store's lock, because two workers would overwrite each other's partial files.
pub(super) fn write(
    config: &Config,
    study: &StudyDirectory,
    store: &mut dyn Store,
    end: Option<&Next>,
) -> Result<()> {
    store.edit(&mut |current, _| {
        let file = TuneFile::of(current, config, end)?;
        if let Some(best) = &file.best {
            let text =
                best_yaml_header(study, best) + &space::config_yaml(&apply(config, &best.parameters)?)?;
            write_atomically(&study.file("best.yaml"), text.as_bytes())?;
            create_folder(&study.file("figures"))?;
            write_atomically(&study.file("figures/tune.svg"), plots::svg(current)?.as_bytes())?;
        }
        write_json(&study.file(FILE), &file)
    })
}

fn best_yaml_header(study: &StudyDirectory, best: &BestTrial) -> String {
    let source = format!(
        "The whole configuration of trial {:04} of the study {}. `cxr-trainer run --config best.yaml` trains it; on a CPU with as many threads, the weights are identical.",
        best.trial,
        study.path().display()
    );
    let drawn = format!("Drawn: {}.", format_parameters(&best.parameters));
    [source, drawn].iter().chain(&best.reasons).flat_map(|line| ["# ", line, "\n"]).collect()
}

pub(super) fn format_parameters(parameters: &Parameters) -> String {
    let pairs = parameters.iter().map(|(key, value)| format!("{key} {}", format_value(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

fn format_value(value: &serde_json::Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() && number != 0.0 && number.abs() < 0.01 => format!("{number:.2e}"),
        _ => value.to_string(),
    }
}

pub fn table(study: &Study) -> String {
    let mut text =
        String::from("trial  state     epochs  select loss  select AUC  CPU min  worker / parameters\n");
    for trial in &study.trials {
        let state = match trial.state {
            TrialState::Running => "running",
            TrialState::Paused => "paused",
            TrialState::Finished => "finished",
            TrialState::Failed => "failed",
        };
        let result = trial.rungs.last();
        let figure = |value: fn(&RungResult) -> f64| {
            result.map_or_else(|| "-".to_owned(), |result| format!("{:.4}", value(result)))
        };
        let worker = trial.claim.as_ref().map_or(String::new(), |claim| format!("{} / ", claim.worker));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>5}  {state:<8}  {:>6}  {:>11}  {:>10}  {:>7.1}  {worker}{}{}",
            trial.number,
            result.map_or(0, |result| result.epochs),
            figure(|result| result.select_loss),
            figure(|result| result.select_auc),
            trial.total_cpu_seconds() / 60.0,
            format_parameters(&trial.parameters),
            trial.error.as_ref().map_or_else(String::new, |error| format!(": {error}")),
        );
    }
    if let Some((trial, result)) = study.best() {
        let _ = writeln!(
            text,
            "best: trial {:04} after {} epochs, select loss {:.4}, AUC {:.4}; {}",
            trial.number,
            result.epochs,
            result.select_loss,
            result.select_auc,
            format_parameters(&trial.parameters)
        );
        for reason in reasons(study, trial) {
            let _ = writeln!(text, "  {reason}");
        }
    }
    let _ = write!(text, "{:.2} CPU hours so far", study.cpu_seconds() / 3600.0);
    text
}
