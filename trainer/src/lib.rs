//! The trainer: a folder of radiographs in, a signed model bundle out. `main.rs` is only its command line.
//!
//! Decoding, preprocessing, calibration, metrics and decisions are `cxr`'s, so that what is measured here is what runs
//! in the service; the two programs meet in the bundle alone.

pub mod allocator;
pub mod audit;
pub mod benchmark;
pub mod calibrate;
pub mod census;
pub mod checkpoint;
pub mod config;
pub mod consistency;
pub mod console;
pub mod contact_sheet;
pub mod curves;
pub mod dataset;
pub mod device;
pub mod eda;
pub mod environment;
pub mod evaluate;
pub mod explain;
pub mod export;
pub mod figures;
pub mod files;
pub mod fitness;
pub mod init;
pub mod ledger;
pub mod logistic;
pub mod loss;
mod markdown;
pub mod mixup;
pub mod model;
pub mod optimiser;
pub mod quantise;
pub mod recalibrate;
pub mod release;
pub mod released;
pub mod report;
pub mod robustness;
pub mod run;
pub mod sample_size;
pub mod schedule;
pub mod score;
pub mod split;
pub mod tracking;
pub mod train;
pub mod trained;
pub mod tune;
pub mod verify;
