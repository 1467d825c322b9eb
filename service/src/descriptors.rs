//! Adjusts the limit of file descriptors and `http.max_connections` to each other.

use crate::config::http::HttpConfig;
use crate::config::values::Bounded;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::num::NonZeroUsize;

/// File descriptors for everything else: the database, files, the log, libraries.
const SPARE: u64 = 128;
/// With fewer, the service does not start.
const MIN_CONNECTIONS: u64 = 16;

#[derive(Debug, thiserror::Error)]
#[error(
    "ulimit -n is {limit}: the service needs at least {} file descriptors, and 2 more for each of \
     http.max_connections",
    SPARE + 2 * MIN_CONNECTIONS
)]
pub struct TooFew {
    limit: u64,
}

/// Raises the limit as far as the system allows, and lowers `http.max_connections` to fit. Each connection
/// slot needs a second descriptor for a connection that waits for it.
pub fn fit(http: &mut HttpConfig) -> Result<(), TooFew> {
    let listeners = if http.operations_bind.is_some() { 2 } else { 1 };
    let per_connection = 2 * listeners;
    let wanted = SPARE + http.max_connections.get() as u64 * per_connection;
    let limit = raised(wanted);
    if limit >= wanted {
        return Ok(());
    }
    let fitting = limit.saturating_sub(SPARE) / per_connection;
    if fitting < MIN_CONNECTIONS {
        return Err(TooFew { limit });
    }
    tracing::warn!(
        limit,
        wanted,
        max_connections = fitting,
        "service.http.max_connections lowered: ulimit -n is too small; raise it, or configure fewer connections"
    );
    http.max_connections = Bounded::new(fitting).unwrap_or(http.max_connections);
    let per_address = NonZeroUsize::new(fitting as usize).unwrap_or(NonZeroUsize::MIN);
    http.max_connections_per_address = http.max_connections_per_address.min(per_address);
    Ok(())
}

fn raised(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    if soft >= wanted {
        return soft;
    }
    let raised = wanted.min(hard);
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => soft,
    }
}
