//! Postgres and the service broken in every way that was thought of, under load: afterwards every answer has its row, no key has
//! two, the tree verifies, the service has recovered by itself, and its memory stayed flat.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod accounts;
mod database;
mod disk;
mod kill;
mod line;
mod load;
mod probes;
mod trial;

/// Held by each test: alone by one that needs all of the host, together by the others.
static HOST: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// `CXR_LONG_TESTS=1` lets faults last longer.
fn seconds(short: u64, long: u64) -> std::time::Duration {
    std::time::Duration::from_secs(if std::env::var_os("CXR_LONG_TESTS").is_some() { long } else { short })
}
