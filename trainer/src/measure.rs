//! Measurements of a trained network or a released bundle.

pub mod calibrate;
pub mod consistency;
pub mod evaluate;
pub mod explain;
pub(crate) mod heatmap;
pub mod robustness;
pub mod sample;
pub mod sample_size;
pub(crate) mod select;
