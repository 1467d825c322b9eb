//! The report as JSON and as Markdown.

mod markdown;

use super::Args;
use super::hardware::Hardware;
use super::inputs::Host;
use super::journal::{Journal, Step};
use super::load::Loads;
use super::serve::{AbsentDevice, Proof};
use super::train::{Bench, Evaluation, Export, Repetition, Training};
use crate::device::Measurement;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// `gpu-check.json`. Absent parts belong to steps that failed or did not run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub passed: bool,
    /// `cpu` or `cuda:N`.
    pub device: String,
    pub version: String,
    /// Start, in seconds since 1970.
    pub started_unix: u64,
    pub seconds: f64,
    pub steps: Vec<Step>,
    pub hardware: Option<Hardware>,
    pub architecture: String,
    pub batch_size: usize,
    /// Whether the training started from pretrained weights.
    pub pretrained: bool,
    pub training: Option<Training>,
    pub evaluation: Option<Evaluation>,
    pub export: Option<Export>,
    /// The bundle that was served and measured: the exported one, or the default one if the export failed.
    pub bundle: Option<PathBuf>,
    pub proof: Option<Proof>,
    pub absent_device: Option<AbsentDevice>,
    pub load: Option<Loads>,
    /// The model without the service, one entry per provider and variant.
    pub devices: Vec<Measurement>,
    pub torch: Option<Value>,
    pub bench: Option<Bench>,
    pub repetition: Option<Repetition>,
}

impl Report {
    pub(super) fn new(args: &Args, host: &Host) -> Self {
        let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            device: host.trainer_device(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix,
            architecture: args.architecture.clone(),
            batch_size: args.batch_size(),
            pretrained: host.weights.is_some(),
            ..Self::default()
        }
    }

    pub(super) fn finish(&mut self, journal: Journal) {
        self.passed = journal.passed();
        self.seconds = journal.started.elapsed().as_secs_f64();
        self.steps = journal.steps;
    }

    /// One line: accepted or not, with the numbers of steps.
    pub(super) fn verdict(&self) -> String {
        let n = |outcome| self.steps.iter().filter(|step| step.outcome == outcome).count();
        let (failed, not_run) = (n(super::journal::Outcome::Failed), n(super::journal::Outcome::NotRun));
        let verdict = if self.passed { "accepted" } else { "NOT accepted" };
        format!("{verdict}: {} steps, {failed} failed, {not_run} not run", self.steps.len())
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        for (name, text) in [("gpu-check.json", json), ("gpu-check.md", markdown::render(self))] {
            let file = folder.join(name);
            std::fs::write(&file, text).with_context(|| format!("{}: cannot be written", file.display()))?;
        }
        Ok(())
    }
}
