//! Registers a bundle as a version of the registered model. What cannot be sent now waits in the spool.

use crate::bundle::version::answers;
use crate::config::Tracking;
use crate::fitness::Fitness;
use crate::progress::say;
use crate::run::verdict;
use crate::tracking::Tracker;
use crate::tracking::delivery;
use crate::tracking::delivery_status::DeliveryStatus;
use crate::tracking::event::{
    ANSWERS_TAG, BUNDLE_TAG, GRAPH_TAG, ModelVersion, NAME_TAG, StringMap, VERDICT_TAG, VERSION_TAG,
};
use crate::tracking::store::{self, DeliveryError, contradicts};
use anyhow::{Context, Result, bail};
use cxr::bundle::Bundle;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// A version of the registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its store.
    target: String,
    /// The registered model.
    model: String,
    /// Its number there.
    number: String,
    tags: StringMap,
}

impl Registered {
    /// Whether it has this semantic version and gives other answers.
    pub(crate) fn contradicts(&self, version: &str, answers: &str, graph: &str) -> bool {
        contradicts(&self.tags, version, answers, graph)
    }
}

impl fmt::Display for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {} in {}", self.number, self.model, self.target)
    }
}

/// Every version of the registered model.
pub fn registered(config: &Tracking) -> Result<Vec<Registered>, DeliveryError> {
    let mut store = delivery::open(config).map_err(|error| DeliveryError::Retryable(format!("{error:#}")))?;
    let target = store.target().to_owned();
    let versions = store.versions(&config.registered_model)?.into_iter();
    Ok(versions
        .map(|store::RegisteredVersion { number, tags, .. }| Registered {
            target: target.clone(),
            model: config.registered_model.clone(),
            number,
            tags,
        })
        .collect())
}

/// Where a bundle is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The server's URL or the local store's folder.
    pub target: String,
    /// The registered model.
    pub model: String,
    /// Its alias that points to this version.
    pub alias: String,
    /// The version's number; none while it waits in the spool for the server.
    pub number: Option<String>,
}

/// Registers the bundle in `bundle_folder` under the run in `run_folder`.
///
/// # Errors
/// When the store refuses it, for example because the version has other answers there. A store that does not answer is no
/// error.
pub fn register(
    config: &Tracking,
    run_folder: &Path,
    run_name: &str,
    bundle_folder: &Path,
    bundle: &Bundle,
) -> Result<Registration> {
    let folder = bundle_folder
        .canonicalize()
        .with_context(|| format!("{}: cannot be found", bundle_folder.display()))?;
    let mut tracker = Tracker::at(config, run_folder, run_name);
    tracker.register(model_version(config, &folder, bundle)?);
    drop(tracker);
    let status = DeliveryStatus::read(config, run_folder)?;
    let number = status.delivered.versions.get(bundle.digest()).cloned();
    let (manifest, target) = (bundle.manifest(), &status.target);
    match &number {
        Some(number) => say(format!(
            "registered {} {} as version {number} of {}, alias {}, in {target}",
            manifest.name, manifest.version, config.registered_model, config.alias
        )),
        None if status.n_waiting > 0 => say(format!(
            "not registered yet: {} events wait for {target} in {}; `cxr-trainer track` sends them",
            status.n_waiting,
            status.spool.display()
        )),
        None => bail!("{}", status.delivered.refused.last().map_or("not registered", String::as_str)),
    }
    Ok(Registration {
        model: config.registered_model.clone(),
        alias: config.alias.clone(),
        number,
        target: status.target,
    })
}

fn model_version(config: &Tracking, folder: &Path, bundle: &Bundle) -> Result<ModelVersion> {
    let (manifest, (_, variant)) = (bundle.manifest(), bundle.variant(None)?);
    let graph_sha256 = manifest.files[&variant.file].sha256.clone();
    let mut tags = StringMap::from([
        (VERSION_TAG.to_owned(), manifest.version.clone()),
        (BUNDLE_TAG.to_owned(), bundle.digest().to_owned()),
        (GRAPH_TAG.to_owned(), graph_sha256.clone()),
        (ANSWERS_TAG.to_owned(), answers(manifest)?),
        (NAME_TAG.to_owned(), manifest.name.clone()),
        ("cxr_architecture".to_owned(), manifest.model.architecture.clone()),
        ("cxr_split_sha256".to_owned(), manifest.training.split_sha256.clone()),
    ]);
    if let Some(fitness) = bundle.file(verdict::FILE) {
        let fitness: Fitness = serde_json::from_slice(fitness)
            .with_context(|| format!("{}: is not a verdict that this version reads", verdict::FILE))?;
        tags.insert(VERDICT_TAG.to_owned(), fitness.verdict.name().to_owned());
        tags.extend(fitness.released_although.map(|why| ("cxr_released_although".to_owned(), why)));
    }
    tags.extend(bundle.signed_by().map(|key| ("cxr_signed_by".to_owned(), key.to_owned())));
    Ok(ModelVersion {
        model: config.registered_model.clone(),
        alias: config.alias.clone(),
        folder: folder.to_owned(),
        bundle_sha256: bundle.digest().to_owned(),
        version: manifest.version.clone(),
        graph_sha256,
        tags,
    })
}
