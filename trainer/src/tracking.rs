//! Tracking: the parameters and results of a run, in MLflow or in a local store with MLflow's layout.
//!
//! Every event is first appended to the spool in the run directory, and a thread sends it from there. A
//! command never waits for a server that is slow or down: unsent events stay in the spool for the next
//! command on the run, or for `cxr-trainer track`.

pub mod conflicts;
pub mod delivery;
pub mod delivery_status;
pub mod event;
mod folder;
pub mod parameters;
mod privacy;
mod results;
mod sender;
mod server;
pub mod spool;
pub mod store;

pub use event::{Event, ModelVersion, Number, Status};

use crate::config::{Config, Tracking};
use crate::data::folds::Folds;
use crate::files;
use crate::progress::say;
use crate::run::RunDirectory;
use crate::run::environment::{Environment, git_commit};
use crate::run::verdict::Verdict;
use anyhow::{Context, Result};
use event::{StringMap, VERDICT_TAG, now_ms};
use results::ResultFile;
use sender::{Sender, SpoolDelivery};
use serde::Serialize;
use serde_json::Value;
use spool::Spool;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Metrics with this key belong to an epoch.
const EPOCH: &str = "epoch";

/// Tracks one run. No method fails: errors are printed and the command continues.
pub struct Tracker {
    /// `None` if it cannot be opened; nothing is tracked then.
    spool: Option<Spool>,
    folder: PathBuf,
    recorded: Recorded,
    sender: Option<Sender>,
    flush: Duration,
    patient_level: bool,
    /// Dropping the tracker marks a running run as failed.
    running: bool,
}

/// What the spool holds already, to avoid duplicates.
#[derive(Debug, Default)]
struct Recorded {
    has_run: bool,
    parameters: StringMap,
    tags: StringMap,
    artefacts: BTreeMap<String, String>,
    /// Metrics outside of epochs, with the time of their last value.
    figures: BTreeMap<String, i64>,
    last_epoch: i64,
    status: Option<Status>,
}

impl Recorded {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Run { tags, .. } => {
                self.has_run = true;
                self.tags.extend(tags.clone());
            }
            Event::Parameters { values } => self.parameters.extend(values.clone()),
            Event::Tags { values } => self.tags.extend(values.clone()),
            Event::Metrics { step, values, .. } if values.contains_key(EPOCH) => {
                self.last_epoch = self.last_epoch.max(*step);
            }
            Event::Metrics { time_ms, values, .. } => {
                self.figures.extend(values.keys().map(|name| (name.clone(), *time_ms)));
            }
            Event::Version(_) => {}
            Event::Artefact { name, sha256, .. } => {
                self.artefacts.insert(name.clone(), sha256.clone());
            }
            Event::Status { status, .. } => self.status = Some(*status),
        }
    }
}

impl Tracker {
    /// Opens the tracker of a run and records its configuration.
    pub fn open(config: &Config, run: &RunDirectory) -> Self {
        let mut tracker = Self::at(&config.tracking, &run.file(""), &run.name());
        match serde_json::to_value(config) {
            Ok(mut tree) => {
                if !tracker.patient_level {
                    privacy::redact_paths(&mut tree);
                }
                tracker.parameters(parameters::flatten(&tree));
            }
            Err(error) => say(format!("tracking: the configuration: {error}")),
        }
        let mut tags = StringMap::new();
        tags.extend(config.digest().ok().map(|digest| ("config_sha256".to_owned(), digest)));
        if let Ok(Some(folds)) = Folds::load(&run.folds()) {
            tags.extend(folds.digest().ok().map(|digest| ("split_sha256".to_owned(), digest)));
            tags.insert("dataset_sha256".to_owned(), folds.dataset_sha256);
        }
        match Verdict::load(run) {
            Ok(verdict) => {
                tags.extend(verdict.map(|verdict| (VERDICT_TAG.to_owned(), verdict.name().to_owned())));
            }
            Err(error) => say(format!("tracking: {error:#}")),
        }
        tracker.tags(tags);
        tracker
    }

    /// The tracker of a run in training. Dropping it without [`finish`](Self::finish) marks the run as
    /// failed.
    pub fn training(config: &Config, run: &RunDirectory, history: &[impl Serialize]) -> Self {
        let mut tracker = Self::open(config, run);
        tracker.running = true;
        tracker.status(Status::Running);
        tracker.epochs(history);
        tracker
    }

    /// The tracker of a run in any folder, without parameters.
    pub fn at(config: &Tracking, folder: &Path, name: &str) -> Self {
        let mut tracker = Self {
            spool: None,
            folder: folder.to_owned(),
            recorded: Recorded::default(),
            sender: None,
            flush: Duration::from_secs(config.flush_seconds),
            patient_level: config.patient_level,
            running: false,
        };
        match open_spool(config, folder) {
            Ok((spool, recorded)) => {
                tracker.sender = start_sender(config, &spool, folder);
                (tracker.spool, tracker.recorded) = (Some(spool), recorded);
            }
            Err(error) => say(format!("tracking: {error:#}; this command is not tracked")),
        }
        if !tracker.recorded.has_run {
            let id = uuid::Uuid::new_v4().simple().to_string();
            let tags = run_tags(folder);
            tracker.record(&[Event::Run { id, name: name.to_owned(), time_ms: now_ms(), tags }]);
        }
        tracker
    }

    /// Adds parameters. MLflow allows no changes, so a changed value becomes the tag `changed.<name>`.
    pub fn parameters(&mut self, values: StringMap) {
        let recorded = &self.recorded.parameters;
        let (old, new): (StringMap, StringMap) =
            values.into_iter().partition(|(key, _)| recorded.contains_key(key));
        let changed = old.into_iter().filter(|(key, value)| recorded[key] != *value);
        let changed = changed.map(|(key, value)| (format!("changed.{key}"), value)).collect();
        if !new.is_empty() {
            self.record(&[Event::Parameters { values: new }]);
        }
        self.tags(changed);
    }

    pub fn tags(&mut self, mut values: StringMap) {
        values.retain(|key, value| self.recorded.tags.get(key) != Some(&*value));
        if !values.is_empty() {
            self.record(&[Event::Tags { values }]);
        }
    }

    /// Records the epochs of `history` that have not been recorded yet.
    pub fn epochs(&mut self, history: &[impl Serialize]) {
        let last_epoch = self.recorded.last_epoch;
        let epochs = history.iter().map(epoch_values);
        let events = epochs.filter_map(|values| {
            let step = values.get(EPOCH)?.0 as i64;
            (step > last_epoch).then(|| Event::Metrics { time_ms: now_ms(), step, values })
        });
        self.record(&events.collect::<Vec<_>>());
    }

    /// Records the figures of every result file, and the files unless they may hold patient-level data.
    pub fn results(&mut self) {
        match results::scan(&self.folder) {
            Ok(files) => files.iter().for_each(|file| self.result(file)),
            Err(error) => say(format!("tracking: {error:#}")),
        }
    }

    /// Names of the result files that stay in the run directory.
    pub fn withheld(&self) -> Result<Vec<String>> {
        let files = results::scan(&self.folder)?;
        Ok(files.into_iter().filter(|file| self.is_withheld(file)).map(|file| file.name).collect())
    }

    pub fn register(&mut self, version: ModelVersion) {
        self.record(&[Event::Version(version)]);
    }

    pub fn finish(mut self) {
        self.running = false;
        self.status(Status::Finished);
    }

    fn is_withheld(&self, file: &ResultFile) -> bool {
        !self.patient_level && privacy::is_patient_level(&file.name)
    }

    fn result(&mut self, file: &ResultFile) {
        if self.recorded.artefacts.get(&file.name) == Some(&file.sha256) {
            return;
        }
        let mut events = Vec::new();
        let values = file.figures();
        if values.keys().any(|name| self.recorded.figures.get(name) != Some(&file.time_ms)) {
            events.push(Event::Metrics { time_ms: file.time_ms, step: 0, values });
        }
        if !self.is_withheld(file) {
            let relative = file.path.strip_prefix(&self.folder).unwrap_or(&file.path).to_owned();
            let (name, sha256) = (file.name.clone(), file.sha256.clone());
            events.push(Event::Artefact { name, file: relative, sha256 });
        }
        self.record(&events);
    }

    fn status(&mut self, status: Status) {
        if self.recorded.status != Some(status) {
            self.record(&[Event::Status { status, time_ms: now_ms() }]);
        }
    }

    fn record(&mut self, events: &[Event]) {
        let Some(spool) = self.spool.as_ref().filter(|_| !events.is_empty()) else { return };
        for event in events {
            self.recorded.add(event);
        }
        if let Err(error) = spool.append(events) {
            say(format!("tracking: {error:#}"));
        }
        if let Some(sender) = &self.sender {
            sender.wake();
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if self.running {
            self.status(Status::Failed);
        }
        if let Some(sender) = self.sender.take() {
            sender.finish(self.flush);
        }
    }
}

fn open_spool(config: &Tracking, folder: &Path) -> Result<(Spool, Recorded)> {
    files::create_own_folder(folder)?;
    let spool = Spool::open(folder.join(&config.spool))?;
    let mut recorded = Recorded::default();
    spool.events()?.iter().for_each(|event| recorded.add(event));
    Ok((spool, recorded))
}

fn start_sender(config: &Tracking, spool: &Spool, folder: &Path) -> Option<Sender> {
    let sender = delivery::open(config).and_then(|store| {
        let patient_level = config.patient_level;
        let delivery =
            SpoolDelivery { spool: spool.clone(), run_folder: folder.to_owned(), patient_level, store };
        Sender::start(delivery).context("starting the sender")
    });
    sender.inspect_err(|error| say(format!("tracking: {error:#}; kept in {}", spool.file().display()))).ok()
}

fn epoch_values(epoch: &impl Serialize) -> BTreeMap<String, Number> {
    let Ok(Value::Object(fields)) = serde_json::to_value(epoch) else { return BTreeMap::new() };
    let number = |value: Value| match value {
        // JSON has no NaN, and NaN is the only value of an epoch that serialises to null.
        Value::Null => Some(Number(f64::NAN)),
        other => other.as_f64().map(Number),
    };
    fields.into_iter().filter_map(|(name, value)| Some((name, number(value)?))).collect()
}

/// Source, user, commit and versions, under MLflow's tag names where it has them.
fn run_tags(folder: &Path) -> StringMap {
    let environment = Environment::load(folder).ok().flatten();
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let mut tags = StringMap::from([
        ("mlflow.source.name".to_owned(), "cxr-trainer".to_owned()),
        ("mlflow.source.type".to_owned(), "LOCAL".to_owned()),
        ("mlflow.user".to_owned(), user),
    ]);
    let commit = environment.as_ref().map_or_else(git_commit, |environment| environment.git_commit.clone());
    tags.extend(commit.map(|commit| ("mlflow.source.git.commit".to_owned(), commit)));
    if let Some(environment) = environment {
        tags.insert("processor".to_owned(), environment.processor);
        tags.insert("compute_threads".to_owned(), environment.compute_threads.to_string());
        let libraries = environment.libraries.into_iter();
        tags.extend(libraries.map(|(name, version)| (format!("version.{name}"), version)));
    }
    tags
}
