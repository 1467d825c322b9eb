//! The local store: a folder in the layout of MLflow's file store (`mlruns`). MLflow reads it with
//! `MLFLOW_ALLOW_FILE_STORE=true` and converts it with `mlflow migrate-filestore`.

mod meta;
mod registry;

use super::event::{ModelVersion, Number, Status};
use super::store::{DeliveryError, NewRun, RegisteredVersion, Store, StoreResult};
use crate::files;
use anyhow::{Context, Result};
use cxr::bundle::sha256_hex;
use meta::{META, make_parent, read_meta, write, write_meta};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// MLflow's number for a local source.
const SOURCE_TYPE_LOCAL: u8 = 4;

pub(super) struct LocalStore {
    root: PathBuf,
    target: String,
    experiment: String,
}

impl LocalStore {
    pub(super) fn new(root: &Path, experiment: &str) -> Result<Self> {
        let root = std::path::absolute(root).with_context(|| format!("{}: is not a path", root.display()))?;
        Ok(Self { target: root.display().to_string(), root, experiment: experiment.to_owned() })
    }

    /// The experiment's folder. MLflow draws experiment ids at random. Ours is derived from the name, so that
    /// concurrent processes create the same one.
    fn experiment(&self) -> std::io::Result<PathBuf> {
        if let Ok(folders) = std::fs::read_dir(&self.root) {
            for folder in folders.flatten().map(|entry| entry.path()) {
                if read_meta(&folder).is_some_and(|meta| meta["name"] == self.experiment.as_str()) {
                    return Ok(folder);
                }
            }
        }
        let digits = sha256_hex(self.experiment.as_bytes());
        let number = u64::from_str_radix(&digits[..15], 16).unwrap_or_default() % 1_000_000_000_000_000_000;
        let id = format!("{number:018}");
        let (folder, now) = (self.root.join(&id), super::event::now_ms());
        write_meta(
            &self.root,
            &folder,
            &json!({
                "artifact_location": uri(&folder),
                "creation_time": now,
                "experiment_id": id,
                "last_update_time": now,
                "lifecycle_stage": "active",
                "name": self.experiment,
            }),
        )?;
        Ok(folder)
    }

    fn run_folder(&self, run: &str) -> StoreResult<PathBuf> {
        self.experiment().map(|folder| folder.join(run)).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> DeliveryError {
        DeliveryError::Retryable(format!("{}: {error}", self.target))
    }

    /// Writes one small file per value, as MLflow does for parameters and tags.
    fn texts(&self, run: &str, kind: &str, values: &[(&String, &String)]) -> StoreResult<()> {
        let folder = self.run_folder(run)?.join(kind);
        values
            .iter()
            .try_for_each(|(key, value)| write(&self.root, &folder.join(key), value.as_bytes()))
            .map_err(|error| self.failed(&error))
    }
}

impl Store for LocalStore {
    fn target(&self) -> &str {
        &self.target
    }

    fn check_experiment(&mut self) -> StoreResult<()> {
        Ok(())
    }

    fn versions(&mut self, model: &str) -> StoreResult<Vec<RegisteredVersion>> {
        Ok(registry::versions(&self.root, model))
    }

    fn run(&mut self, run: &NewRun) -> StoreResult<String> {
        let folder = self.run_folder(run.id)?;
        files::keep_out_of_git(&self.root).map_err(|error| DeliveryError::Retryable(format!("{error:#}")))?;
        let create = || -> std::io::Result<()> {
            for part in ["metrics", "params", "tags", "artifacts"] {
                std::fs::create_dir_all(folder.join(part))?;
            }
            let experiment = folder.parent().and_then(Path::file_name).unwrap_or_default();
            let meta = json!({
                "artifact_uri": uri(&folder.join("artifacts")),
                "end_time": null,
                "entry_point_name": "",
                "experiment_id": experiment.to_string_lossy(),
                "lifecycle_stage": "active",
                "run_id": run.id,
                "run_name": run.name,
                "source_name": "",
                "source_type": SOURCE_TYPE_LOCAL,
                "source_version": "",
                "start_time": run.time_ms,
                "status": Status::Running.number(),
                "tags": [],
                "user_id": run.tags.get("mlflow.user").map_or("unknown", String::as_str),
            });
            write_meta(&self.root, &folder, &meta)
        };
        if !folder.join(META).exists() {
            create().map_err(|error| self.failed(&error))?;
        }
        self.texts(run.id, "tags", &run.tags.iter().collect::<Vec<_>>())?;
        Ok(run.id.to_owned())
    }

    fn parameters(&mut self, run: &str, values: &[(&String, &String)]) -> StoreResult<()> {
        self.texts(run, "params", values)
    }

    fn tags(&mut self, run: &str, values: &[(&String, &String)]) -> StoreResult<()> {
        self.texts(run, "tags", values)
    }

    fn metrics(
        &mut self,
        run: &str,
        time_ms: i64,
        step: i64,
        values: &[(&String, &Number)],
    ) -> StoreResult<()> {
        let folder = self.run_folder(run)?.join("metrics");
        values
            .iter()
            .try_for_each(|(key, Number(value))| {
                append_once(&folder.join(key), &format!("{time_ms} {value:?} {step}"))
            })
            .map_err(|error| self.failed(&error))
    }

    fn artefact(&mut self, run: &str, name: &str, bytes: &[u8]) -> StoreResult<()> {
        let file = self.run_folder(run)?.join("artifacts").join(name);
        write(&self.root, &file, bytes).map_err(|error| self.failed(&error))
    }

    fn version(&mut self, run: &str, folder: &str, version: &ModelVersion) -> StoreResult<String> {
        let source = uri(&self.run_folder(run)?.join("artifacts").join(folder));
        registry::version(&self.root, run, &source, version)
    }

    fn status(&mut self, run: &str, status: Status, time_ms: i64) -> StoreResult<()> {
        let folder = self.run_folder(run)?;
        let mut meta = read_meta(&folder)
            .ok_or_else(|| DeliveryError::Retryable(format!("{}: holds no {META}", folder.display())))?;
        meta["status"] = status.number().into();
        meta["end_time"] = if status == Status::Running { Value::Null } else { time_ms.into() };
        write_meta(&self.root, &folder, &meta).map_err(|error| self.failed(&error))
    }
}

/// Appends a line unless the file has it. Removes a last line that a power cut left incomplete.
fn append_once(file: &Path, line: &str) -> std::io::Result<()> {
    make_parent(file)?;
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    if whole.lines().any(|known| known == line) {
        return Ok(());
    }
    let mut opened = OpenOptions::new().create(true).append(true).open(file)?;
    opened.set_len(whole.len() as u64)?;
    writeln!(opened, "{line}")?;
    opened.sync_data()
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}
