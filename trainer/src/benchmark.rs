//! Benchmarks: the speed and memory of training, and bundles for measuring the speed of inference.

pub mod bundle;
pub mod training;
