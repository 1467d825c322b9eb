//! Starts, watches and stops the programs that tests and measurements need: a private Postgres and
//! `cxr-service`.

mod guard;
pub mod postgres;
mod process;
pub mod service;
mod settings;

pub use postgres::Postgres;
pub use process::Process;
pub use settings::Settings;
