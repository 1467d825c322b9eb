//! Operations: starts, stops and failures of Postgres and the service, commands for operators, and the
//! documented set-up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bundle;
mod check_config;
mod clock;
mod crash;
mod database;
mod failover;
mod log;
mod metrics;
mod operator_scripts;
mod password;
mod pgbouncer;
mod production;
mod shutdown;
mod sighup;
mod slow_flush;
mod syscalls;
mod traces;
