//! Fault injection under load, in Postgres and in the service. Afterwards every answer has its row, no key
//! has two, the tree verifies, the service has recovered by itself, and its memory has not grown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod database;
mod disk;
mod kill;
mod load;
mod network;
mod probes;
mod reconciliation;
mod scenario;

/// Every test holds this: exclusively if it needs the whole host, shared otherwise.
static HOST: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// How long a fault lasts: longer with `CXR_LONG_TESTS=1`.
fn seconds(short: u64, long: u64) -> std::time::Duration {
    std::time::Duration::from_secs(if std::env::var_os("CXR_LONG_TESTS").is_some() { long } else { short })
}
