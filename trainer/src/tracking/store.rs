//! The interface of a tracking store.

use super::event::{ANSWERS_TAG, BUNDLE_TAG, GRAPH_TAG, ModelVersion, Number, Status, Texts, VERSION_TAG};

/// Why an event was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It will be tried again: nobody answered, or somebody who may answer otherwise tomorrow.
    #[error("{0}")]
    Later(String),
    /// Trying again would change nothing.
    #[error("{0}")]
    Never(String),
}

/// The run that a new one is created as.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// Ours.
    pub id: &'a str,
    /// Human name.
    pub name: &'a str,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Tags.
    pub tags: &'a Texts,
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its number.
    pub number: String,
    /// The run that it came from, by the store's name.
    pub run: String,
    /// Its tags.
    pub tags: Texts,
}

/// A place that keeps runs. Everything may be said twice.
pub trait Store: Send {
    /// How it is called in messages and in the state of delivery. Holds no secret.
    fn target(&self) -> &str;
    /// Whether the experiment can take runs; creates nothing.
    fn check_experiment(&mut self) -> Result<(), Failure>;
    /// Every version of a registered model; none where there is no such model.
    fn versions(&mut self, model: &str) -> Result<Vec<Registered>, Failure>;
    /// Finds the run again, or creates it; returns the store's name of it.
    fn run(&mut self, run: &NewRun) -> Result<String, Failure>;
    /// Adds parameters, at most 100.
    fn parameters(&mut self, run: &str, values: &[(&String, &String)]) -> Result<(), Failure>;
    /// Sets tags, at most 100.
    fn tags(&mut self, run: &str, values: &[(&String, &String)]) -> Result<(), Failure>;
    /// Adds metrics, at most 1000.
    fn metrics(
        &mut self,
        run: &str,
        time_ms: i64,
        step: i64,
        values: &[(&String, &Number)],
    ) -> Result<(), Failure>;
    /// Keeps a file.
    fn artefact(&mut self, run: &str, name: &str, bytes: &[u8]) -> Result<(), Failure>;
    /// Makes the artefacts in `folder` a version of a registered model, and returns its number.
    fn version(&mut self, run: &str, folder: &str, version: &ModelVersion) -> Result<String, Failure>;
    /// Says how the run stands.
    fn status(&mut self, run: &str, status: Status, time_ms: i64) -> Result<(), Failure>;
}

impl ModelVersion {
    /// The number of the registered version that holds this bundle, if one does.
    ///
    /// # Errors
    /// When one has its semantic version and gives other answers.
    pub(super) fn among(&self, registry: &str, versions: &[Registered]) -> Result<Option<String>, Failure> {
        let answers = self.tags.get(ANSWERS_TAG).map_or("", String::as_str);
        for Registered { number, tags, .. } in versions {
            if tags.get(BUNDLE_TAG) == Some(&self.bundle_sha256) {
                return Ok(Some(number.clone()));
            }
            if contradicts(tags, &self.version, answers, &self.graph_sha256) {
                return Err(Failure::Never(format!(
                    "{registry}: version {number} of {} is {} with other weights, calibration, policy or variants already, and a released version never changes; release under a higher version (--bump or --version)",
                    self.model, self.version
                )));
            }
        }
        Ok(None)
    }
}

/// Whether a registered version's tags name this semantic version with other answers. Versions that were registered before answers were
/// a tag are told apart by their graph alone.
pub(crate) fn contradicts(tags: &Texts, version: &str, answers: &str, graph: &str) -> bool {
    let tag = |name: &str| tags.get(name).map(String::as_str);
    let other = match tag(ANSWERS_TAG) {
        Some(registered) if !answers.is_empty() => registered != answers,
        _ => tag(GRAPH_TAG) != Some(graph),
    };
    tag(VERSION_TAG) == Some(version) && other
}
