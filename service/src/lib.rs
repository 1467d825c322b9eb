//! The inference service: one radiograph in, one calibrated and audited answer out.
//!
//! Read `pipeline` first. `docs/ARCHITECTURE.md` lists which module may import which ("Direction"). Only
//! `http` knows status codes, only `store` holds SQL, and only `config` reads the environment.

pub mod app;
pub mod audit;
pub mod auth;
pub mod commands;
pub mod config;
pub mod descriptors;
pub mod files;
mod hangup;
pub mod http;
pub mod infer;
pub mod memory;
pub mod model;
pub mod monitor;

pub mod net;
pub mod pipeline;
pub mod quota;
pub mod readiness;
pub mod record;
pub mod replay;
pub mod results;
pub mod serving;
pub mod shadow;
pub mod stdout;
pub mod store;
pub mod telemetry;
pub mod threads;
pub mod worker_pool;

pub use app::App;
