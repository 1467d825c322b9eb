//! Opens the configured store and delivers events to it.

use super::event::{Event, ModelVersion, RUN_TAG};
use super::folder::LocalStore;
use super::privacy;
use super::server::MlflowServer;
use super::spool::Delivered;
use super::store::{DeliveryError, NewRun, Store, StoreResult};
use crate::bundle;
use crate::config::Tracking;
use cxr::bundle::{MANIFEST, SIGNATURE};
use std::collections::BTreeMap;
use std::path::Path;

/// MLflow's limits on metrics, and on parameters or tags, per request.
const MAX_METRICS: usize = 1000;
const MAX_TEXTS: usize = 100;

pub fn open(config: &Tracking) -> anyhow::Result<Box<dyn Store>> {
    Ok(match &config.server {
        Some(url) => Box::new(MlflowServer::new(url, config)?),
        None => Box::new(LocalStore::new(&config.store, &config.experiment)?),
    })
}

/// Delivers one event. Sends results with patient-level data only if `patient_level` is set.
pub fn deliver(
    store: &mut dyn Store,
    delivered: &mut Delivered,
    (run_folder, patient_level): (&Path, bool),
    event: &Event,
) -> StoreResult<()> {
    if let Event::Run { id, name, time_ms, tags } = event {
        let mut tags = tags.clone();
        tags.insert(RUN_TAG.to_owned(), id.clone());
        delivered.run = Some(store.run(&NewRun { id, name, time_ms: *time_ms, tags: &tags })?);
        return Ok(());
    }
    let run = delivered
        .run
        .clone()
        .ok_or_else(|| DeliveryError::Permanent("the first event of the spool is not the run".into()))?;
    match event {
        Event::Run { .. } => Ok(()),
        Event::Parameters { values } => in_chunks(values, MAX_TEXTS, |values| store.parameters(&run, values)),
        Event::Tags { values } => in_chunks(values, MAX_TEXTS, |values| store.tags(&run, values)),
        Event::Metrics { time_ms, step, values } => {
            in_chunks(values, MAX_METRICS, |values| store.metrics(&run, *time_ms, *step, values))
        }
        // The event may have been spooled under a configuration that allowed it.
        Event::Artefact { name, .. } if !patient_level && privacy::is_patient_level(name) => {
            Err(DeliveryError::Permanent(privacy::withheld_message(name)))
        }
        Event::Artefact { name, file, .. } => {
            let path = run_folder.join(file);
            let bytes = std::fs::read(&path).map_err(|error| {
                DeliveryError::Permanent(format!("{}: cannot be read: {error}", path.display()))
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
    mut send: impl FnMut(&[(&String, &V)]) -> StoreResult<()>,
) -> StoreResult<()> {
    values.iter().collect::<Vec<_>>().chunks(size).try_for_each(&mut send)
}

/// Uploads the bundle to a folder named by its digest and registers it.
fn register(store: &mut dyn Store, run: &str, version: &ModelVersion) -> StoreResult<String> {
    let failed = |what: String| DeliveryError::Permanent(format!("{}: {what}", version.folder.display()));
    let bundle = bundle::read(&version.folder, None).map_err(|error| failed(error.to_string()))?;
    if bundle.digest() != version.bundle_sha256 {
        return Err(failed(format!(
            "now holds another bundle ({}) than the one to register ({}); run `cxr-trainer register` on the original",
            bundle.digest(),
            version.bundle_sha256
        )));
    }
    let folder = format!("bundle-{}", &version.bundle_sha256[..12]);
    for file in bundle.manifest().files.keys().map(String::as_str).chain([MANIFEST, SIGNATURE]) {
        match std::fs::read(version.folder.join(file)) {
            Ok(bytes) => store.artefact(run, &format!("{folder}/{file}"), &bytes)?,
            Err(error) if file == SIGNATURE && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(format!("{file}: {error}"))),
        }
    }
    store.version(run, &folder, version)
}
