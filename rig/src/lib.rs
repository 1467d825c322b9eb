//! Starts, watches and stops a private Postgres and `cxr-service`, for tests and measurements.

pub mod alerting;
mod guard;
pub mod postgres;
mod process;
pub mod service;
mod settings;

pub use postgres::Postgres;
pub use process::Process;
pub use settings::Settings;
