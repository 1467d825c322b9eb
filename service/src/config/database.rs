//! `service.database`: the Postgres that holds the audit log.

use super::problem::Problem;
use super::secret::{Secret, resolve};
use super::servers::{DatabaseUrl, Target, UrlError};
use super::units::Milliseconds;
use super::{Profile, require};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatabaseSection {
    url: Option<Secret>,
    url_file: Option<PathBuf>,
    reader_url: Option<Secret>,
    reader_url_file: Option<PathBuf>,
    pooling: Pooling,
    direct_url: Option<Secret>,
    direct_url_file: Option<PathBuf>,
    max_connections: NonZeroU32,
    reader_connections: NonZeroU32,
    acquire_timeout_ms: Milliseconds,
    statement_timeout_ms: Milliseconds,
    max_clock_difference_ms: Milliseconds,
    refuse_owner: bool,
}

/// What stands between this process and Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// A connection is one session of Postgres: nothing, or a pooler in session mode.
    Session,
    /// Each transaction may run in another session: a pooler in transaction mode.
    Transaction,
}

/// The database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host:port/database`
    pub url: DatabaseUrl,
    /// The same database for whoever reads the log; the writer's where none is given.
    pub reader_url: DatabaseUrl,
    /// The same database where a connection is one session; the writer's where none is given.
    pub direct_url: DatabaseUrl,
    /// What stands between.
    pub pooling: Pooling,
    /// Connections that write.
    pub max_connections: u32,
    /// Connections that read: an auditor's question never takes a prediction's place.
    pub reader_connections: u32,
    /// How long a request waits for a connection before it is answered 503.
    pub acquire_timeout: Duration,
    /// How long a statement may run, on the server and as seen from here.
    pub statement_timeout: Duration,
    /// How far this process's clock may be from the database's.
    pub max_clock_difference: Duration,
    /// Whether a user who could change the log's tables makes the service unready.
    pub refuse_owner: bool,
}

const ADVICE: &str = "set it to postgres://USER:PASSWORD@HOST:PORT/DATABASE, or set database.url_file";

impl DatabaseConfig {
    /// Whether the log is read as another user than it is written.
    pub fn has_reader(&self) -> bool {
        self.reader_url.text().expose() != self.url.text().expose()
    }

    /// Whether there is a way past a pooler.
    pub fn has_direct(&self) -> bool {
        self.direct_url.text().expose() != self.url.text().expose()
    }
}

impl DatabaseSection {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) -> Option<DatabaseConfig> {
        for (key, value) in [
            ("database.acquire_timeout_ms", self.acquire_timeout_ms),
            ("database.statement_timeout_ms", self.statement_timeout_ms),
            ("database.max_clock_difference_ms", self.max_clock_difference_ms),
        ] {
            require(problems, value.is_timeout(), key, "out of range", "use 1 to 3600000 milliseconds");
        }
        let before = problems.len();
        let (value, file) = (self.url.as_ref(), self.url_file.as_deref());
        let url = given("service.database.url", value, file, Target::ReadWrite, problems);
        if problems.len() == before {
            require(problems, url.is_some(), "database.url", "not set", ADVICE);
        }
        let (value, file) = (self.reader_url.as_ref(), self.reader_url_file.as_deref());
        let reader = given("service.database.reader_url", value, file, Target::Any, problems);
        let (value, file) = (self.direct_url.as_ref(), self.direct_url_file.as_deref());
        let direct = given("service.database.direct_url", value, file, Target::ReadWrite, problems);
        if self.pooling == Pooling::Transaction && direct.is_none() {
            let advice =
                "set the URL of Postgres itself: the audit tree and migrations need a session of their own";
            let found = "not set, but required with database.pooling: transaction";
            require(problems, problems.len() > before, "database.direct_url", found, advice);
        }
        let url = url?;
        Some(DatabaseConfig {
            reader_url: reader.unwrap_or_else(|| url.clone()),
            direct_url: direct.unwrap_or_else(|| url.clone()),
            url,
            pooling: self.pooling,
            max_connections: self.max_connections.get(),
            reader_connections: self.reader_connections.get(),
            acquire_timeout: self.acquire_timeout_ms.duration(),
            statement_timeout: self.statement_timeout_ms.duration(),
            max_clock_difference: self.max_clock_difference_ms.duration(),
            refuse_owner: self.refuse_owner,
        })
    }
}

/// A URL that is given as a value or in a file, and parses.
fn given(
    full_key: &'static str,
    value: Option<&Secret>,
    file: Option<&Path>,
    several_want: Target,
    problems: &mut Vec<Problem>,
) -> Option<DatabaseUrl> {
    let key = full_key.trim_start_matches("service.");
    // A database URL carries no well-known secret, so the profile makes no difference.
    let text = resolve(key, value, file, Profile::Production, problems)?;
    let url = DatabaseUrl::new(full_key, text, file.map(Path::to_owned), several_want);
    if let Err(error) = url.servers().map(drop) {
        let advice = match error {
            UrlError::Malformed => ADVICE,
            UrlError::Target => "use one of these names",
            UrlError::Ports => "use one port, or one per host",
        };
        problems.push(Problem::new(key, &error.to_string(), advice));
        return None;
    }
    Some(url)
}
