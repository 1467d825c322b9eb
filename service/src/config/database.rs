//! `service.database`: the Postgres that holds the audit log.

use super::problem::Problem;
use super::secret::{Secret, resolve};
use super::units::Milliseconds;
use super::{Profile, require};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatabaseSection {
    url: Option<Secret>,
    url_file: Option<PathBuf>,
    reader_url: Option<Secret>,
    reader_url_file: Option<PathBuf>,
    max_connections: NonZeroU32,
    reader_connections: NonZeroU32,
    acquire_timeout_ms: Milliseconds,
    statement_timeout_ms: Milliseconds,
    refuse_owner: bool,
}

/// The database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host:port/database`
    pub url: Secret,
    /// The same database for whoever reads the log; the writer's where none is given.
    pub reader_url: Secret,
    /// Connections that write.
    pub max_connections: u32,
    /// Connections that read: an auditor's question never takes a prediction's place.
    pub reader_connections: u32,
    /// How long a request waits for a connection before it is answered 503.
    pub acquire_timeout: Duration,
    /// How long a statement may run, on the server and as seen from here.
    pub statement_timeout: Duration,
    /// Whether a user who could change the log's tables makes the service unready.
    pub refuse_owner: bool,
}

impl DatabaseConfig {
    /// Whether the log is read as another user than it is written.
    pub fn has_reader(&self) -> bool {
        self.reader_url.expose() != self.url.expose()
    }
}

impl DatabaseSection {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) -> Option<DatabaseConfig> {
        for (key, value) in [
            ("database.acquire_timeout_ms", self.acquire_timeout_ms),
            ("database.statement_timeout_ms", self.statement_timeout_ms),
        ] {
            require(problems, value.is_timeout(), key, "out of range", "give 1 to 3600000 milliseconds");
        }
        // A database URL carries no well-known secret, so the profile makes no difference.
        let before = problems.len();
        let url = resolve(
            "database.url",
            self.url.as_ref(),
            self.url_file.as_deref(),
            Profile::Production,
            problems,
        );
        let advice = "give postgres://USER:PASSWORD@HOST:PORT/DATABASE, or its file in database.url_file";
        if problems.len() == before {
            require(problems, url.is_some(), "database.url", "not set", advice);
        }
        let reader_url = resolve(
            "database.reader_url",
            self.reader_url.as_ref(),
            self.reader_url_file.as_deref(),
            Profile::Production,
            problems,
        );
        let url = url?;
        let reader_url = reader_url.unwrap_or_else(|| url.clone());
        for (key, url) in [("database.url", &url), ("database.reader_url", &reader_url)] {
            let parses = url.expose().parse::<sqlx::postgres::PgConnectOptions>().is_ok();
            let postgres =
                url.expose().starts_with("postgres://") || url.expose().starts_with("postgresql://");
            if !(parses && postgres) {
                problems.push(Problem::new(key, "not the URL of a Postgres database", advice));
                break;
            }
        }
        Some(DatabaseConfig {
            url,
            reader_url,
            max_connections: self.max_connections.get(),
            reader_connections: self.reader_connections.get(),
            acquire_timeout: self.acquire_timeout_ms.duration(),
            statement_timeout: self.statement_timeout_ms.duration(),
            refuse_owner: self.refuse_owner,
        })
    }
}
