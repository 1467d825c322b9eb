//! The inference engine from outside: deadlines, clients that leave, overload, shared commits, another model taken over, a
//! candidate.

mod candidate;
mod commits;
mod deadlines;
mod load;
mod overload;
mod reload;

/// Held by each test: alone by one that compares paces, together by the others.
static HOST: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());
