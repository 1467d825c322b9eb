//! The part of MLflow's REST API that tracking needs.

mod http;

use super::event::{ModelVersion, Number, RUN_TAG, Status};
use super::store::{DeliveryError, NewRun, RegisteredVersion, Store, StoreResult};
use crate::config::Tracking;
use anyhow::Result;
use http::{Http, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const API: &str = "api/2.0/mlflow";
/// Upload path of a server that stores artefacts itself.
const ARTEFACTS: &str = "api/2.0/mlflow-artifacts/artifacts";

/// Caches the ids that the server has returned.
pub(super) struct MlflowServer {
    http: Http,
    experiment: String,
    experiment_id: Option<String>,
    artefacts: BTreeMap<String, String>,
}

impl MlflowServer {
    pub(super) fn new(url: &str, config: &Tracking) -> Result<Self> {
        Ok(Self {
            http: Http::new(url, config.request_seconds)?,
            experiment: config.experiment.clone(),
            experiment_id: None,
            artefacts: BTreeMap::new(),
        })
    }

    fn post(&self, path: &str, body: &Value) -> StoreResult<Response> {
        self.http.post(&format!("{API}/{path}"), body)
    }

    /// Does nothing if the name exists.
    fn create(&self, path: &str, name: &str) -> StoreResult<()> {
        let response = self.post(path, &json!({ "name": name }))?;
        if response.is_error("RESOURCE_ALREADY_EXISTS") { Ok(()) } else { response.ok().map(drop) }
    }

    fn log_batch(&self, run: &str, kind: &str, values: &[Value]) -> StoreResult<()> {
        self.post("runs/log-batch", &json!({ "run_id": run, kind: values }))?.ok().map(drop)
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> StoreResult<Response> {
        self.http.get(&format!("{API}/{path}"), query)
    }

    /// `None` if the server has no experiment of this name.
    fn experiment(&self) -> StoreResult<Option<Value>> {
        let response = self.get("experiments/get-by-name", &[("experiment_name", &self.experiment)])?;
        if response.is_error("RESOURCE_DOES_NOT_EXIST") {
            return Ok(None);
        }
        Ok(Some(response.ok()?["experiment"].take()))
    }

    /// A deleted experiment keeps its name and accepts no runs.
    fn deleted(&self, experiment: &Value) -> Option<String> {
        let (url, name) = (self.http.url(), &self.experiment);
        (experiment["lifecycle_stage"] == "deleted").then(|| {
            format!("{url}: the experiment {name:?} was deleted there: restore it, or choose another trainer.tracking.experiment")
        })
    }

    fn experiment_id(&mut self) -> StoreResult<String> {
        if let Some(id) = &self.experiment_id {
            return Ok(id.clone());
        }
        let mut found = self.experiment()?;
        if found.is_none() {
            // Another process may create it at the same time, so look it up again.
            self.create("experiments/create", &self.experiment)?;
            found = self.experiment()?;
        }
        let found = found.unwrap_or_default();
        self.deleted(&found).map_or(Ok(()), |why| Err(DeliveryError::Retryable(why)))?;
        let id = text(&found, "experiment_id", "experiments/get-by-name")?;
        self.experiment_id = Some(id.clone());
        Ok(id)
    }

    fn artefact_path(&mut self, run: &str) -> StoreResult<String> {
        if let Some(path) = self.artefacts.get(run) {
            return Ok(path.clone());
        }
        let response = self.get("runs/get", &[("run_id", run)])?.ok()?;
        let uri = text(&response["run"]["info"], "artifact_uri", "runs/get")?;
        // `mlflow-artifacts:/1/abc/artifacts`, or with a host after two slashes.
        let path = uri.strip_prefix("mlflow-artifacts:").map(|rest| match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_host, path)| path).to_owned(),
            None => rest.trim_start_matches('/').to_owned(),
        });
        let path = path.ok_or_else(|| {
            DeliveryError::Permanent(format!(
                "{}: stores artefacts at {uri}, outside of the server: start it with --artifacts-destination",
                self.http.url()
            ))
        })?;
        self.artefacts.insert(run.to_owned(), path.clone());
        Ok(path)
    }

    /// Finds or creates the version of this bundle.
    fn version_number(&mut self, run: &str, folder: &str, version: &ModelVersion) -> StoreResult<String> {
        let versions = self.versions(&version.model)?;
        if let Some(number) = version.existing_number(self.http.url(), &versions)? {
            return Ok(number);
        }
        let source = format!("runs:/{run}/{folder}");
        let tags = pairs(&version.tags);
        let body = json!({ "name": version.model, "source": source, "run_id": run, "tags": tags });
        let response = self.post("model-versions/create", &body)?.ok()?;
        text(&response["model_version"], "version", "model-versions/create")
    }
}

impl Store for MlflowServer {
    fn target(&self) -> &str {
        self.http.url()
    }

    fn check_experiment(&mut self) -> StoreResult<()> {
        let why = self.experiment()?.and_then(|found| self.deleted(&found));
        why.map_or(Ok(()), |why| Err(DeliveryError::Permanent(why)))
    }

    fn versions(&mut self, model: &str) -> StoreResult<Vec<RegisteredVersion>> {
        let (filter, mut token, mut found) = (format!("name = '{model}'"), String::new(), Vec::new());
        loop {
            let mut query = vec![("filter", filter.as_str()), ("max_results", "1000")];
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let response = self.get("model-versions/search", &query)?.ok()?;
            for version in response["model_versions"].as_array().into_iter().flatten() {
                found.push(registered(version)?);
            }
            match response["next_page_token"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return Ok(found),
            }
        }
    }

    fn run(&mut self, run: &NewRun) -> StoreResult<String> {
        let experiment_id = self.experiment_id()?;
        let search = json!({
            "experiment_ids": [experiment_id],
            "filter": format!("tags.{RUN_TAG} = '{}'", run.id),
            "run_view_type": "ALL",
            "max_results": 1,
        });
        let found = self.post("runs/search", &search)?.ok()?;
        if let Some(info) = found["runs"].get(0).map(|run| &run["info"]) {
            return text(info, "run_id", "runs/search");
        }
        let create = json!({
            "experiment_id": experiment_id,
            "run_name": run.name,
            "start_time": run.time_ms,
            "tags": pairs(run.tags),
        });
        let created = self.post("runs/create", &create)?.ok()?;
        text(&created["run"]["info"], "run_id", "runs/create")
    }

    fn parameters(&mut self, run: &str, values: &[(&String, &String)]) -> StoreResult<()> {
        self.log_batch(run, "params", &pairs(values.iter().copied()))
    }

    fn tags(&mut self, run: &str, values: &[(&String, &String)]) -> StoreResult<()> {
        self.log_batch(run, "tags", &pairs(values.iter().copied()))
    }

    fn metrics(
        &mut self,
        run: &str,
        time_ms: i64,
        step: i64,
        values: &[(&String, &Number)],
    ) -> StoreResult<()> {
        let metric = |(key, value): &(&String, &Number)| json!({ "key": key, "value": value, "timestamp": time_ms, "step": step });
        self.log_batch(run, "metrics", &values.iter().map(metric).collect::<Vec<_>>())
    }

    fn artefact(&mut self, run: &str, name: &str, bytes: &[u8]) -> StoreResult<()> {
        let path = format!("{ARTEFACTS}/{}/{name}", self.artefact_path(run)?);
        self.http.put(&path, bytes)?.ok().map(drop)
    }

    fn version(&mut self, run: &str, folder: &str, version: &ModelVersion) -> StoreResult<String> {
        let model = &version.model;
        self.create("registered-models/create", model)?;
        let number = self.version_number(run, folder, version)?;
        let alias = json!({ "name": model, "alias": version.alias, "version": number });
        self.post("registered-models/alias", &alias)?.ok()?;
        Ok(number)
    }

    fn status(&mut self, run: &str, status: Status, time_ms: i64) -> StoreResult<()> {
        let mut update = json!({ "run_id": run, "status": status });
        if status != Status::Running {
            update["end_time"] = time_ms.into();
        }
        self.post("runs/update", &update)?.ok().map(drop)
    }
}

fn registered(version: &Value) -> StoreResult<RegisteredVersion> {
    let tag = |tag: &Value| Some((tag["key"].as_str()?.to_owned(), tag["value"].as_str()?.to_owned()));
    Ok(RegisteredVersion {
        number: text(version, "version", "model-versions/search")?,
        run: version["run_id"].as_str().unwrap_or_default().to_owned(),
        tags: version["tags"].as_array().into_iter().flatten().filter_map(tag).collect(),
    })
}

fn pairs<'a>(values: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    values.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn text(value: &Value, key: &str, path: &str) -> StoreResult<String> {
    match &value[key] {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(DeliveryError::Retryable(format!(
            "{path}: the response has no {key}; is this an MLflow server?"
        ))),
    }
}
