//! Configuration: one typed tree from default.yaml, <profile>.yaml and the environment, in that order.
//!
//! One module per concern below. Nothing outside this folder reads the environment or a secret's file.

pub mod args;
pub mod audit;
pub mod auth;
pub mod cors;
pub mod database;
pub mod http;
mod layers;
pub mod limits;
pub mod model;
mod patients;
pub mod problem;
pub mod secret;
pub mod servers;
pub mod telemetry;
pub mod units;

use audit::AuditConfig;
use auth::AuthConfig;
use clap::ValueEnum;
use cxr::DecodeLimits;
use cxr::intended_use::SitePatients;
use database::DatabaseConfig;
use model::ModelConfig;
use problem::{Problem, Problems};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use telemetry::TelemetryConfig;

/// Which set of defaults and which safety rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// One person's machine: well-known keys, HS256 tokens, bundles signed with the development key.
    Development,
    /// Patients: no built-in secret, asymmetric tokens, a bundle signed by a trusted key.
    Production,
}

impl Profile {
    /// The profile's name in file names and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// Where the layers come from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The profile in force.
    pub profile: Profile,
    /// Folder with an optional `<profile>.yaml` that is laid over the built-in one.
    pub directory: Option<PathBuf>,
    /// What the process was started with.
    pub environment: BTreeMap<String, String>,
}

/// Everything the service is told, checked.
#[derive(Debug)]
pub struct Config {
    /// The profile in force.
    pub profile: Profile,
    /// `service.http`
    pub http: http::HttpConfig,
    /// `service.database`
    pub database: DatabaseConfig,
    /// `service.auth`
    pub auth: AuthConfig,
    /// `service.model`
    pub model: ModelConfig,
    /// `service.limits`
    pub limits: limits::LimitsConfig,
    /// `service.audit`
    pub audit: AuditConfig,
    /// `service.patients`
    pub patients: SitePatients,
    /// `service.telemetry`
    pub telemetry: TelemetryConfig,
    effective: BTreeMap<String, serde_json::Value>,
}

/// The sections as they are written, before they are checked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    http: http::HttpConfig,
    database: database::DatabaseSection,
    auth: auth::AuthSection,
    model: model::ModelSection,
    limits: limits::LimitsConfig,
    audit: audit::AuditSection,
    patients: patients::PatientsSection,
    telemetry: TelemetryConfig,
}

impl Config {
    /// Reads the layers for the profile and checks every value.
    ///
    /// # Errors
    /// All problems found, not only the first.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let (mut sections, mut problems) = layers::read(sources)?;
        sections.model.default_library(sources.environment.get("ORT_DYLIB_PATH").map(String::as_str));
        let (profile, effective) = (sources.profile, flatten(&sections));
        sections.http.check(&mut problems);
        sections.limits.check(&mut problems);
        sections.telemetry.check(&mut problems);
        let database = sections.database.check(&mut problems);
        let auth = sections.auth.check(profile, &mut problems);
        let model = sections.model.check(profile, &mut problems);
        let audit = sections.audit.check(profile, &mut problems);
        let patients = sections.patients.check(&mut problems);
        let (Some(database), Some(auth), Some(model), Some(audit), []) =
            (database, auth, model, audit, problems.as_slice())
        else {
            return Err(Problems(problems));
        };
        let Sections { http, limits, telemetry, .. } = sections;
        Ok(Self { profile, http, database, auth, model, limits, audit, patients, telemetry, effective })
    }

    /// Every key with the value in force; secrets only say that they are set.
    pub fn effective(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.effective
    }
}

/// The part that migrating needs: a migration job holds no secret but the database's.
///
/// # Errors
/// All problems of that part.
pub fn load_database(sources: &Sources) -> Result<(DatabaseConfig, TelemetryConfig), Problems> {
    let (sections, mut problems) = layers::read(sources)?;
    sections.telemetry.check(&mut problems);
    match (sections.database.check(&mut problems), problems.as_slice()) {
        (Some(database), []) => Ok((database, sections.telemetry)),
        _ => Err(Problems(problems)),
    }
}

/// The part that work on the audit log needs.
///
/// # Errors
/// All problems of that part.
pub fn load_audit(sources: &Sources) -> Result<(DatabaseConfig, AuditConfig), Problems> {
    let (sections, mut problems) = layers::read(sources)?;
    let database = sections.database.check(&mut problems);
    match (database, sections.audit.check(sources.profile, &mut problems), problems.as_slice()) {
        (Some(database), Some(audit), []) => Ok((database, audit)),
        _ => Err(Problems(problems)),
    }
}

/// The part that a replay needs.
///
/// # Errors
/// All problems of that part.
pub fn load_replay(
    sources: &Sources,
) -> Result<(DatabaseConfig, AuditConfig, ModelConfig, DecodeLimits), Problems> {
    let (mut sections, mut problems) = layers::read(sources)?;
    sections.model.default_library(sources.environment.get("ORT_DYLIB_PATH").map(String::as_str));
    sections.limits.check(&mut problems);
    let database = sections.database.check(&mut problems);
    let audit = sections.audit.check(sources.profile, &mut problems);
    let model = sections.model.check(sources.profile, &mut problems);
    match (database, audit, model, problems.as_slice()) {
        (Some(database), Some(audit), Some(model), []) => {
            Ok((database, audit, model, sections.limits.decode()))
        }
        _ => Err(Problems(problems)),
    }
}

/// The part that minting a token needs.
///
/// # Errors
/// All problems of that part.
pub fn load_auth(sources: &Sources) -> Result<AuthConfig, Problems> {
    let (sections, mut problems) = layers::read(sources)?;
    match (sections.auth.check(sources.profile, &mut problems), problems.as_slice()) {
        (Some(auth), []) => Ok(auth),
        _ => Err(Problems(problems)),
    }
}

fn flatten(sections: &Sections) -> BTreeMap<String, serde_json::Value> {
    fn walk(key: String, value: serde_json::Value, leaves: &mut BTreeMap<String, serde_json::Value>) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.into_iter().for_each(|(name, value)| walk(format!("{key}.{name}"), value, leaves));
            }
            leaf => {
                leaves.insert(key, leaf);
            }
        }
    }
    let mut leaves = BTreeMap::new();
    let tree = serde_json::to_value(sections).unwrap_or_default();
    walk(layers::ROOT.to_owned(), tree, &mut leaves);
    leaves
}

/// Adds a problem when the value is outside the range.
fn require(problems: &mut Vec<Problem>, holds: bool, key: &str, found: &str, advice: &str) {
    if !holds {
        problems.push(Problem::new(key, found, advice));
    }
}

#[cfg(test)]
mod tests;
