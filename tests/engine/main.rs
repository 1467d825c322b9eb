//! The inference engine in a running service: deadlines, disconnects, overload, shared commits, reloads, a
//! candidate.

mod candidate;
mod commits;
mod deadlines;
mod load;
mod overload;
mod reload;

/// Every test holds this: exclusively if it compares throughput, shared otherwise.
static HOST: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());
