//! The inference service: one radiograph in, one calibrated and audited answer out.
//!
//! `main -> app -> http -> pipeline -> {serving -> infer, shadow, audit -> store}`; `config`, `telemetry` and `threads` are leaves.
//! Read `pipeline` first. Only `http` knows status codes, only `store` holds SQL, only `config` reads the environment.

pub mod app;
pub mod audit;
pub mod auth;
pub mod commands;
pub mod config;
pub mod crew;
pub mod descriptors;
pub mod files;
mod hangup;
pub mod http;
pub mod infer;
pub mod memory;
pub mod model;
pub mod pacing;
pub mod pipeline;
pub mod quota;
pub mod readiness;
pub mod replay;
pub mod serving;
pub mod shadow;
pub mod stdout;
pub mod store;
pub mod telemetry;
pub mod threads;

pub use app::App;
