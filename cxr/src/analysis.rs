//! Offline analysis of data sets and trained models: screening, corruption, calibration methods and scoring.
//! The trainer and the load test use it; the service does not.

pub mod artefact;
pub mod calibration;
pub mod conformal;
pub mod corrupt;
pub mod drift;
pub mod duplicate;
pub mod label_noise;
pub mod population;
pub mod prior_shift;
pub mod scoring;
pub mod similarity;
pub mod summary;
