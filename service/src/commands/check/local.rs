//! Files, the model and the key sets.

use super::problem;
use crate::audit::VOLUME_TIMEOUT;
use crate::audit::anchor::Anchor;
use crate::audit::erasures::Erasures;
use crate::audit::signing::LogKey;
use crate::auth::{KeyError, Verifier};
use crate::config::audit::AuditConfig;
use crate::config::auth::AuthConfig;
use crate::config::error::Misconfiguration;
use crate::config::http::HttpConfig;
use crate::config::model::ModelConfig;
use crate::config::secret::Secret;
use crate::net::certificate_expiry;
use crate::serving::{LoadError, Serving};
use crate::threads;
use cxr::intended_use::{IntendedUse, SitePatients};
use std::time::SystemTime;

/// Loads each source of keys separately, so that one problem does not hide another.
pub(super) fn keys(config: &AuthConfig) -> (Vec<Misconfiguration>, Vec<(String, Verifier)>) {
    let (mut problems, mut verifiers) = (Vec::new(), Vec::new());
    for (position, source) in config.keys.iter().enumerate() {
        let mut alone = config.clone();
        alone.keys = vec![source.clone()];
        match Verifier::new(&alone) {
            Ok(verifier) => verifiers.push((format!("auth.keys[{position}]"), verifier)),
            // One file for all sources.
            Err(error @ KeyError::Client { .. }) => {
                let advice = "set auth.jwks.authorities_file to a readable file of PEM certificates, or null";
                problems.push(problem("auth.jwks", &error, advice));
            }
            Err(error) => {
                let advice = "provide the identity provider's public keys, readable by this user";
                problems.push(problem(&format!("auth.keys[{position}]"), &error, advice));
            }
        }
    }
    problems.dedup();
    (problems, verifiers)
}

pub(super) async fn published(verifiers: &[(String, Verifier)]) -> Vec<Misconfiguration> {
    let mut problems = Vec::new();
    for (key, verifier) in verifiers {
        if let Err(cause) = verifier.fetch_published().await {
            let advice = "check the URL and that this host can reach the identity provider; auth.jwks.authorities_file or \
                          the system must trust its certificate";
            problems.push(Misconfiguration::new(&format!("{key}.jwks_url"), &cause, advice));
        }
    }
    problems
}

/// Certificate, key and authorities of both addresses.
pub(super) fn tls(config: &HttpConfig) -> Vec<Misconfiguration> {
    let sections =
        [("service.http.tls", &config.tls), ("service.http.operations_tls", &config.operations_tls)];
    let mut problems = Vec::new();
    for (key, files) in sections {
        let Some(files) = files else { continue };
        let section = key.trim_start_matches("service.");
        match certificate_expiry(key, files) {
            Err(error) => {
                let advice = "provide the certificate with its intermediates, and its private key, in PEM and readable by this user";
                problems.push(problem(section, &error, advice));
            }
            Ok(expires) if expires <= SystemTime::now() => {
                let found = "the certificate has expired: clients refuse it";
                problems.push(Misconfiguration::new(
                    &format!("{section}.certificate_file"),
                    found,
                    "renew it",
                ));
            }
            Ok(_) => {}
        }
    }
    problems
}

/// Checks the model and the candidate as the service does, and the intended use against the site.
pub(super) fn model(config: &ModelConfig, patients: &SitePatients) -> Vec<Misconfiguration> {
    let mut problems: Vec<Misconfiguration> = match serves("model", config) {
        Ok(serving) => suits(&serving.model.manifest().intended_use, patients).err().into_iter().collect(),
        Err(problem) => vec![problem],
    };
    if let Some(candidate) = config.for_shadow() {
        problems.extend(serves("model.shadow", &candidate).err());
    }
    problems
}

/// Fails if every image that relies on `service.patients` would be referred.
fn suits(intended: &IntendedUse, patients: &SitePatients) -> Result<(), Misconfiguration> {
    if !patients.refers_all(intended) {
        return Ok(());
    }
    let found = "the site's patients are outside the bundle's intended use, so every image that does not state its age, view and \
                 modality is referred";
    let advice = "state your own patients in service.patients, or serve a bundle intended for them; cxr-service bundle inspect shows \
                  the intended use";
    Err(Misconfiguration::new("patients", found, advice))
}

fn serves(key: &str, config: &ModelConfig) -> Result<Serving, Misconfiguration> {
    let serving = Serving::load(config, threads::COMPUTING, None).map_err(|error| {
        let advice = match &error {
            LoadError::Model(_) => {
                "set model.bundle to a complete bundle, signed by a key of model.trusted_keys; cxr-service bundle sign signs one \
                 (README, \"Run it\")"
            }
            LoadError::Golden(_) => {
                "this host's results differ from the bundle's golden outputs: use another variant or provider, or a bundle made for this one"
            }
            _ => "set model.onnxruntime_library to ONNX Runtime; scripts/onnxruntime.sh fetches the tested version",
        };
        problem(key, &error, advice)
    })?;
    let advice = "choose a provider that this host has; docs/GPU.md says what a GPU needs";
    match &serving.engine {
        Ok(_) => Ok(serving),
        Err(cause) => Err(Misconfiguration::new(key, cause, advice)),
    }
}

pub(super) async fn outside(config: &AuditConfig) -> Vec<Misconfiguration> {
    let config = config.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let mut problems = Vec::new();
        if let Some(directory) = config.anchor.directory.clone() {
            problems.extend(anchored(&Anchor::at(directory), &config.signing_key));
        }
        if let Some(list) = config.erasures_file()
            && let Err(error) = Erasures::at(list.to_owned()).all()
        {
            let advice = "see docs/AUDIT.md, \"Subjects and erasure\"";
            problems.push(problem("audit.erasures_file", &error, advice));
        }
        problems
    });
    match tokio::time::timeout(VOLUME_TIMEOUT, checked).await {
        Ok(Ok(problems)) => problems,
        Ok(Err(error)) => vec![problem("audit", &error, "run check-config again")],
        Err(_) => {
            let found = "the volume of the anchor or of the list does not respond";
            vec![Misconfiguration::new("audit.anchor.directory", found, "repair the volume")]
        }
    }
}

/// The anchor must be writable and hold no checkpoint of another log.
fn anchored(anchor: &Anchor, signing_key: &Secret) -> Option<Misconfiguration> {
    let key = "audit.anchor.directory";
    if let Err(error) = anchor.check() {
        let advice = "mount its volume, or create a folder that the service's user can write to and the database's administrators cannot";
        return Some(problem(key, &error, advice));
    }
    // The configuration has validated the key.
    let verifier = LogKey::parse(signing_key).ok()?.verifier().ok()?;
    let advice = "use the folder of this log, or the signing key that belongs to it (audit.signing_key)";
    anchor.newest(&verifier).err().map(|error| problem(key, &error, advice))
}
