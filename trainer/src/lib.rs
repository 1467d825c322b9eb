//! The trainer: a folder of radiographs in, a signed model bundle out. `main.rs` is its command line.
//!
//! The modules, in the order in which a run passes through them:
//!
//! - `config`, `init`: the configuration, and the questions that write one.
//! - `data`: the images, their labels and patients, the folds.
//! - `model`, `train`, `tune`: networks, one training, the search for its hyperparameters.
//! - `measure`, `fitness`: calibration, evaluation, robustness, heatmaps; the gates and their verdict.
//! - `onnx`, `bundle`, `export`: the network as a graph, a bundle on disk, a run written as a bundle.
//! - `release`, `tracking`: versions and registration of bundles; the store of runs and model versions.
//! - `report`, `benchmark`: the technical report; the speed of training and a bundle for that of inference.
//!
//! `run` (the run directory), `files`, `figures`, `markdown` and `progress` serve all of them.
//!
//! Decoding, preprocessing, calibration, metrics and decisions come from `cxr`, so that what is measured here
//! is what the service computes. Trainer and service share nothing but the bundle.

pub mod benchmark;
pub mod bundle;
pub mod config;
pub mod data;
pub mod export;
pub mod figures;
pub mod files;
pub mod fitness;
pub mod init;
mod markdown;
pub mod measure;
pub mod model;
pub mod onnx;
pub mod progress;
pub mod release;
pub mod report;
pub mod run;
pub mod tracking;
pub mod train;
pub mod tune;
