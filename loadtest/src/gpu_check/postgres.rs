//! A private Postgres for the service's audit rows, if the host has Postgres.

use super::inputs::Host;
use super::journal::NotRun;
use anyhow::Result;
use rig::Postgres;
use rig::postgres::{Options, programs};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The database of the service. Its cluster is stopped and deleted when this is dropped.
pub(super) struct Database {
    pub(super) url: String,
    _postgres: Postgres,
}

impl Database {
    pub(super) fn start(host: &Host, folder: &Path, limit: Duration) -> Result<Self> {
        programs(&host.root).map_err(|error| NotRun(format!("{error:#}")))?;
        let postgres =
            Postgres::start(&host.root, folder, Options { limit: Some(limit), ..Options::default() })?;
        Ok(Self { url: postgres.url("postgres"), _postgres: postgres })
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a private cluster on a socket, fsync on")
    }
}
