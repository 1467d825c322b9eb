//! Operations: what happens when Postgres, the service or the operator stops something; and whether the documentation leads to a service that is ready.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bundle;
mod check;
mod clock;
mod crash;
mod database;
mod drill;
mod failover;
mod hangup;
mod log;
mod metrics;
mod password;
mod pgbouncer;
mod production;
mod shutdown;
mod silence;
mod slow_flush;
