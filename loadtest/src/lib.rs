//! Measurements of the service: against the FastAPI peer, against the limit of the host, and of a GPU host as a whole.
//!
//! Nothing here is part of what a hospital runs.

pub mod bench;
mod console;
pub mod device;
mod generator;
pub mod gpu_check;
pub mod log;
