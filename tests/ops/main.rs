//! Operations: what happens when Postgres, the service or the operator stops something.

mod crash;
mod database;
mod hangup;
mod log;
mod shutdown;
mod silence;
mod slow_flush;
