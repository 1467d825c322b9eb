//! The interface of a tracking store.

use super::event::{
    ANSWERS_TAG, BUNDLE_TAG, GRAPH_TAG, ModelVersion, Number, Status, StringMap, VERSION_TAG,
};

#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// A retry may succeed: no answer, or an error on the server's side.
    #[error("{0}")]
    Retryable(String),
    /// A retry would fail again.
    #[error("{0}")]
    Permanent(String),
}

pub type StoreResult<T> = Result<T, DeliveryError>;

#[derive(Debug)]
pub struct NewRun<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub time_ms: i64,
    pub tags: &'a StringMap,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredVersion {
    pub number: String,
    /// The store's id of the run it came from.
    pub run: String,
    pub tags: StringMap,
}

/// A tracking store. All methods are idempotent.
pub trait Store: Send {
    /// URL or path, for messages and for `sent.json`. Holds no secret.
    fn target(&self) -> &str;
    /// Whether the experiment accepts runs; creates nothing.
    fn check_experiment(&mut self) -> StoreResult<()>;
    /// Every version of a registered model; empty if there is no such model.
    fn versions(&mut self, model: &str) -> StoreResult<Vec<RegisteredVersion>>;
    /// Finds or creates the run; returns the store's id.
    fn run(&mut self, run: &NewRun) -> StoreResult<String>;
    /// At most 100 parameters.
    fn parameters(&mut self, run: &str, values: &[(&String, &String)]) -> StoreResult<()>;
    /// At most 100 tags.
    fn tags(&mut self, run: &str, values: &[(&String, &String)]) -> StoreResult<()>;
    /// At most 1000 metrics.
    fn metrics(
        &mut self,
        run: &str,
        time_ms: i64,
        step: i64,
        values: &[(&String, &Number)],
    ) -> StoreResult<()>;
    fn artefact(&mut self, run: &str, name: &str, bytes: &[u8]) -> StoreResult<()>;
    /// Registers the artefacts in `folder` as a version of a model, and returns its number.
    fn version(&mut self, run: &str, folder: &str, version: &ModelVersion) -> StoreResult<String>;
    fn status(&mut self, run: &str, status: Status, time_ms: i64) -> StoreResult<()>;
}

impl ModelVersion {
    /// The number of the version that holds this bundle, if any. Fails if its semantic version is taken by a
    /// bundle with other answers.
    pub(super) fn existing_number(
        &self,
        registry: &str,
        versions: &[RegisteredVersion],
    ) -> StoreResult<Option<String>> {
        let answers = self.tags.get(ANSWERS_TAG).map_or("", String::as_str);
        for RegisteredVersion { number, tags, .. } in versions {
            if tags.get(BUNDLE_TAG) == Some(&self.bundle_sha256) {
                return Ok(Some(number.clone()));
            }
            if contradicts(tags, &self.version, answers, &self.graph_sha256) {
                return Err(DeliveryError::Permanent(format!(
                    "{registry}: version {number} of {} is {} with other weights, calibration, policy or variants, and a released version never changes; release under a higher version (--bump or --version)",
                    self.model, self.version
                )));
            }
        }
        Ok(None)
    }
}

/// Whether a version's tags name the same semantic version with other answers. Older versions lack the
/// answers tag and are compared by their graph.
pub(crate) fn contradicts(tags: &StringMap, version: &str, answers: &str, graph: &str) -> bool {
    let tag = |name: &str| tags.get(name).map(String::as_str);
    let other = match tag(ANSWERS_TAG) {
        Some(registered) if !answers.is_empty() => registered != answers,
        _ => tag(GRAPH_TAG) != Some(graph),
    };
    tag(VERSION_TAG) == Some(version) && other
}
