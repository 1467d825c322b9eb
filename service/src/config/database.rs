//! `service.database`: the Postgres that holds the audit log.

use super::error::Findings;
use super::secret::Secret;
use super::servers::{DatabaseUrl, PostgresUrl, Target};
use super::values::{Checked, Timeout};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::PathBuf;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    url: Checked<PostgresUrl>,
    url_file: Option<PathBuf>,
    reader_url: Option<Checked<PostgresUrl>>,
    reader_url_file: Option<PathBuf>,
    pub pooling: Pooling,
    direct_url: Option<Checked<PostgresUrl>>,
    direct_url_file: Option<PathBuf>,
    pub max_connections: NonZeroU32,
    /// Connections for reading, apart from the others so that an audit query never delays a prediction.
    pub reader_connections: NonZeroU32,
    /// How long a request waits for a connection before it is answered 503.
    pub acquire_timeout_ms: Timeout,
    pub statement_timeout_ms: Timeout,
    pub max_clock_difference_ms: Timeout,
    /// Whether a user who could alter the log's tables makes the service unready.
    pub refuse_owner: bool,
}

/// What stands between this process and Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Nothing, or a pooler in session mode: a connection is one session of Postgres.
    Session,
    /// A pooler in transaction mode: each transaction may run in another session.
    Transaction,
}

impl DatabaseConfig {
    /// The database as the user that writes.
    pub fn url(&self) -> DatabaseUrl {
        DatabaseUrl::new("service.database.url", &self.url, self.url_file.as_deref(), Target::ReadWrite)
    }

    /// The database as the user that reads; `url` if none is set.
    pub fn reader_url(&self) -> DatabaseUrl {
        let (key, file) = ("service.database.reader_url", self.reader_url_file.as_deref());
        let url = self.reader_url.as_ref();
        url.map_or_else(|| self.url(), |url| DatabaseUrl::new(key, url, file, Target::Any))
    }

    /// The database without a pooler; `url` if none is set.
    pub fn direct_url(&self) -> DatabaseUrl {
        let (key, file) = ("service.database.direct_url", self.direct_url_file.as_deref());
        let url = self.direct_url.as_ref();
        url.map_or_else(|| self.url(), |url| DatabaseUrl::new(key, url, file, Target::ReadWrite))
    }

    /// Whether the log is read as another user than it is written.
    pub fn has_reader(&self) -> bool {
        self.differs(self.reader_url.as_ref())
    }

    /// Whether there is a way past the pooler.
    pub fn has_direct(&self) -> bool {
        self.differs(self.direct_url.as_ref())
    }

    fn differs(&self, other: Option<&Checked<PostgresUrl>>) -> bool {
        other.is_some_and(|other| Secret::expose(other) != self.url.expose())
    }

    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        let direct = self.pooling == Pooling::Session || self.direct_url.is_some();
        let found = "not set, but required with database.pooling: transaction";
        let advice =
            "set the URL of Postgres itself: the audit tree and migrations need a session of their own";
        findings.require(direct, "database.direct_url", found, advice);
    }
}
