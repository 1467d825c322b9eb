//! Operations: what happens when Postgres, the service or the operator stops something.

mod crash;
mod database;
mod shutdown;
mod slow_flush;
