//! Whether the names under which a run will be tracked and registered are free.

use super::delivery;
use super::event::{Event, NAME_TAG, VERSION_TAG};
use super::spool::Spool;
use super::store::{DeliveryError, RegisteredVersion};
use crate::config::Tracking;
use crate::progress::say;
use anyhow::Result;
use semver::Version;
use std::path::Path;

#[derive(Debug)]
pub struct RequestedVersion<'a> {
    pub bundle: &'a str,
    pub version: &'a Version,
}

/// A store that does not answer is not a conflict: the release checks again.
pub fn name_conflicts(
    config: &Tracking,
    run_folder: &Path,
    requested: &RequestedVersion,
) -> Result<Vec<String>> {
    let mut store = delivery::open(config)?;
    let own = own_run_ids(config, run_folder, store.target())?;
    match store.check_experiment().and_then(|()| store.versions(&config.registered_model)) {
        Ok(versions) => {
            Ok(conflict(config, store.target(), &versions, &own, requested).into_iter().collect())
        }
        Err(DeliveryError::Permanent(why)) => Ok(vec![why]),
        Err(DeliveryError::Retryable(why)) => {
            say(format!(
                "tracking: {why}; the release will check whether {} {} can be registered",
                requested.bundle, requested.version
            ));
            Ok(Vec::new())
        }
    }
}

fn own_run_ids(config: &Tracking, run_folder: &Path, target: &str) -> Result<Vec<String>> {
    let folder = run_folder.join(&config.spool);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let spool = Spool::open(folder)?;
    let in_store = spool.delivered(target)?.run;
    let in_spool = spool.events()?.into_iter().find_map(|event| match event {
        Event::Run { id, .. } => Some(id),
        _ => None,
    });
    Ok(in_store.into_iter().chain(in_spool).collect())
}

fn conflict(
    config: &Tracking,
    target: &str,
    versions: &[RegisteredVersion],
    own: &[String],
    requested: &RequestedVersion,
) -> Option<String> {
    let RequestedVersion { bundle, version } = requested;
    let model = &config.registered_model;
    let name = |registered: &RegisteredVersion| registered.tags.get(NAME_TAG).cloned();
    let names: Vec<String> = versions.iter().filter_map(name).collect();
    if let Some(other) = names.first().filter(|_| !names.iter().any(|name| name == bundle)) {
        return Some(format!(
            "the registered model {model} in {target} holds versions of the bundle {other}: choose another trainer.tracking.registered_model for {bundle}"
        ));
    }
    let version = version.to_string();
    let same = versions.iter().find(|found| found.tags.get(VERSION_TAG) == Some(&version))?;
    (!own.contains(&same.run)).then(|| {
        format!(
            "version {version} of {model} in {target} is registered by another run already (as number {}): raise trainer.export.version",
            same.number
        )
    })
}
