//! Registers a bundle as a version of the registered model, or spools it if the store does not answer.

use crate::bundle::graph_digest;
use crate::bundle::version::answers;
use crate::config::Tracking;
use crate::fitness::Fitness;
use crate::progress::say;
use crate::run::verdict;
use crate::tracking::Tracker;
use crate::tracking::delivery_status::DeliveryStatus;
use crate::tracking::event::{
    ANSWERS_TAG, BUNDLE_TAG, GRAPH_TAG, ModelVersion, NAME_TAG, StringMap, VERDICT_TAG, VERSION_TAG,
};
use anyhow::{Context, Result, bail};
use cxr::bundle::Bundle;
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// URL of the server or folder of the local store.
    pub target: String,
    pub model: String,
    pub alias: String,
    /// None while the version waits in the spool.
    pub number: Option<String>,
}

/// Fails if the store refuses the bundle, but not if it does not answer.
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
    let graph_sha256 = graph_digest(bundle, variant);
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
            .with_context(|| format!("{}: not a verdict that this version reads", verdict::FILE))?;
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
