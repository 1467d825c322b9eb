//! Measurements of the service: against the FastAPI peer, against the limit of the host, and of a GPU host as a whole.
//!
//! Nothing here is part of what a hospital runs.

pub mod bench;
pub mod device;
mod generator;
pub mod gpu_check;
mod listening;
pub mod log;
mod stdout;
