//! Measurements of a trained network or a released bundle.

pub mod calibrate;
pub mod consistency;
pub mod evaluate;
pub mod explain;
pub(crate) mod heatmap;
pub(crate) mod on_select;
pub mod robustness;
pub mod sample;
pub mod sample_size;
