//! The trainer: a folder of radiographs in, a signed model bundle out. `main.rs` is only its command line.
//!
//! Decoding, preprocessing, calibration, metrics and decisions are `cxr`'s, so that what is measured here is what runs
//! in the service; the two programs meet in the bundle alone.

pub mod bench;
pub mod benchmark;
pub mod bundle;
pub mod config;
pub mod data;
pub mod export;
pub mod figures;
pub mod files;
pub mod fitness;
pub mod init;
pub mod measure;
pub mod model;
pub mod onnx;
pub mod progress;
pub mod release;
pub mod report;
pub mod run;
pub mod soup;
pub mod tracking;
pub mod train;
pub mod tune;
