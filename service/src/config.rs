//! Configuration: one typed tree from default.yaml, <profile>.yaml and the environment, in that order.
//!
//! One module per section, with plain values whose types hold their ranges. Rules that span several keys are
//! the `check` of a section. Nothing outside this folder reads the environment, and nothing in it knows the
//! rest of the crate.

pub mod args;
pub mod audit;
pub mod auth;
pub mod cors;
pub mod database;
pub mod error;
pub mod http;
mod layers;
pub mod limits;
pub mod model;
pub mod monitoring;
pub mod patients;
pub mod secret;
pub mod servers;
pub mod telemetry;
pub mod values;

use audit::AuditConfig;
use auth::AuthConfig;
use clap::ValueEnum;
use cxr::DecodeLimits;
use database::DatabaseConfig;
use error::Misconfigurations;
use http::HttpConfig;
use limits::LimitsConfig;
use model::ModelConfig;
use monitoring::MonitoringConfig;
use patients::PatientsConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use telemetry::TelemetryConfig;

/// Which set of defaults and which safety rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// A developer's machine: well-known keys, HS256 tokens, bundles signed with the development key.
    Development,
    /// A site with patients: no built-in secret, asymmetric tokens, a bundle signed by a trusted key.
    Production,
}

impl Profile {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Sources {
    pub profile: Profile,
    /// Folder whose `<profile>.yaml` overrides the built-in one.
    pub directory: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
}

/// The configuration of the service, checked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub http: HttpConfig,
    pub database: DatabaseConfig,
    pub auth: AuthConfig,
    pub model: ModelConfig,
    pub limits: LimitsConfig,
    pub audit: AuditConfig,
    pub patients: PatientsConfig,
    pub monitoring: MonitoringConfig,
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Reads the layers of the profile and checks every value.
    pub fn load(sources: &Sources) -> Result<Self, Misconfigurations> {
        Self::load_parts(
            sources,
            &["http", "database", "auth", "model", "limits", "audit", "patients", "monitoring", "telemetry"],
        )
    }

    /// Only the parts must be complete; what the other sections lack is filled with stand-ins.
    fn load_parts(sources: &Sources, parts: &[&str]) -> Result<Self, Misconfigurations> {
        let (mut config, mut findings) = layers::read(sources, parts)?;
        config.http.check(&mut findings);
        config.limits.check(&mut findings);
        config.database.check(&mut findings);
        config.auth.check(sources.profile, &mut findings);
        config.model.check(sources.profile, &mut findings);
        config.audit.check(sources.profile, &mut findings);
        config.model.refuse_development_key = sources.profile == Profile::Production;
        if findings.problems.is_empty() { Ok(config) } else { Err(Misconfigurations(findings.problems)) }
    }

    /// Every key with its value; a secret only says that it is set.
    pub fn effective(&self) -> BTreeMap<String, Value> {
        flatten(serde_json::to_value(self).unwrap_or_default())
    }
}

/// What migrating needs: a migration job has no secret but the database's.
pub fn load_database(sources: &Sources) -> Result<(DatabaseConfig, TelemetryConfig), Misconfigurations> {
    let config = Config::load_parts(sources, &["database", "telemetry"])?;
    Ok((config.database, config.telemetry))
}

/// What work on the audit log needs.
pub fn load_audit(sources: &Sources) -> Result<(DatabaseConfig, AuditConfig), Misconfigurations> {
    let config = Config::load_parts(sources, &["database", "audit"])?;
    Ok((config.database, config.audit))
}

/// What work on monitoring needs.
pub fn load_monitoring(
    sources: &Sources,
) -> Result<(DatabaseConfig, AuditConfig, MonitoringConfig), Misconfigurations> {
    let config = Config::load_parts(sources, &["database", "audit", "monitoring"])?;
    Ok((config.database, config.audit, config.monitoring))
}

/// What a replay needs.
pub fn load_replay(
    sources: &Sources,
) -> Result<(DatabaseConfig, AuditConfig, ModelConfig, DecodeLimits), Misconfigurations> {
    let config = Config::load_parts(sources, &["database", "audit", "model", "limits"])?;
    Ok((config.database, config.audit, config.model, config.limits.decode()))
}

/// What minting a token needs.
pub fn load_auth(sources: &Sources) -> Result<AuthConfig, Misconfigurations> {
    Config::load_parts(sources, &["auth"]).map(|config| config.auth)
}

fn flatten(tree: Value) -> BTreeMap<String, Value> {
    fn walk(key: String, value: Value, leaves: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                fields.into_iter().for_each(|(name, value)| walk(format!("{key}.{name}"), value, leaves));
            }
            leaf => {
                leaves.insert(key, leaf);
            }
        }
    }
    let mut leaves = BTreeMap::new();
    walk(layers::ROOT.to_owned(), tree, &mut leaves);
    leaves
}

#[cfg(test)]
mod tests;
