//! Opens the configured store and delivers one event to it.

use super::event::{Event, ModelVersion, RUN_TAG};
use super::folder::Folder;
use super::privacy;
use super::server::Server;
use super::spool::Delivered;
use super::store::{Failure, NewRun, Store};
use crate::bundle;
use crate::config::Tracking;
use cxr::bundle::{MANIFEST, SIGNATURE};
use std::collections::BTreeMap;
use std::path::Path;

/// Metrics that MLflow takes in one request.
const MAX_METRICS: usize = 1000;
/// Parameters or tags that it takes in one request.
const MAX_TEXTS: usize = 100;

/// The store that the configuration names.
///
/// # Errors
/// When the environment's credentials cannot be used.
pub fn open(config: &Tracking) -> anyhow::Result<Box<dyn Store>> {
    Ok(match &config.server {
        Some(url) => Box::new(Server::new(url, config)?),
        None => Box::new(Folder::new(&config.store, &config.experiment)?),
    })
}

/// Delivers one event of the run in `run_folder`; results with lines of patients only where `patient_level` says so.
pub fn deliver(
    store: &mut dyn Store,
    delivered: &mut Delivered,
    (run_folder, patient_level): (&Path, bool),
    event: &Event,
) -> Result<(), Failure> {
    if let Event::Run { id, name, time_ms, tags } = event {
        let mut tags = tags.clone();
        tags.insert(RUN_TAG.to_owned(), id.clone());
        delivered.run = Some(store.run(&NewRun { id, name, time_ms: *time_ms, tags: &tags })?);
        return Ok(());
    }
    let run = delivered.run.clone().ok_or_else(|| {
        Failure::Never("the spool does not begin with the run, which must have been there before".into())
    })?;
    match event {
        Event::Run { .. } => Ok(()),
        Event::Parameters { values } => in_chunks(values, MAX_TEXTS, |values| store.parameters(&run, values)),
        Event::Tags { values } => in_chunks(values, MAX_TEXTS, |values| store.tags(&run, values)),
        Event::Metrics { time_ms, step, values } => {
            in_chunks(values, MAX_METRICS, |values| store.metrics(&run, *time_ms, *step, values))
        }
        // The spool may be from a time when the configuration allowed more.
        Event::Artefact { name, .. } if !patient_level && privacy::is_patient_level(name) => {
            Err(Failure::Never(privacy::refusal(name)))
        }
        Event::Artefact { name, file, .. } => {
            let path = run_folder.join(file);
            let bytes = std::fs::read(&path).map_err(|error| {
                Failure::Never(format!("{}: cannot be read any more: {error}", path.display()))
            })?;
            store.artefact(&run, name, &bytes)
        }
        Event::Version(version) => {
            let number = register(store, &run, version)?;
            delivered.versions.insert(version.bundle_sha256.clone(), number);
            Ok(())
        }
        Event::Status { status, time_ms } => store.status(&run, *status, *time_ms),
    }
}

fn in_chunks<V>(
    values: &BTreeMap<String, V>,
    size: usize,
    mut send: impl FnMut(&[(&String, &V)]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    values.iter().collect::<Vec<_>>().chunks(size).try_for_each(&mut send)
}

/// Keeps the bundle's files under a name of their own, so that no later bundle replaces them, and registers them.
fn register(store: &mut dyn Store, run: &str, version: &ModelVersion) -> Result<String, Failure> {
    let name = |what: String| Failure::Never(format!("{}: {what}", version.folder.display()));
    let read = |file: &str| std::fs::read(version.folder.join(file));
    let bundle = bundle::read(&version.folder, None).map_err(|error| name(error.to_string()))?;
    if bundle.digest() != version.bundle_sha256 {
        return Err(name(format!(
            "holds another bundle now ({}) than the one to register ({}); run `cxr-trainer register` on that one",
            bundle.digest(),
            version.bundle_sha256
        )));
    }
    let folder = format!("bundle-{}", &version.bundle_sha256[..12]);
    for file in bundle.manifest().files.keys().map(String::as_str).chain([MANIFEST, SIGNATURE]) {
        match read(file) {
            Ok(bytes) => store.artefact(run, &format!("{folder}/{file}"), &bytes)?,
            Err(error) if file == SIGNATURE && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(name(format!("{file}: {error}"))),
        }
    }
    store.version(run, &folder, version)
}
