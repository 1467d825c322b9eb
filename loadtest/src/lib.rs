//! Measurements: the service against the FastAPI peer and the limit of the host, one execution provider, the
//! audit log verifier, the statistics of monitoring, and the acceptance check of a GPU host.
//!
//! Hospitals do not run any of this.

pub mod bench;
pub mod device;
mod generator;
pub mod gpu_check;
pub mod log;
pub mod monitoring;
mod program;
mod terminal;
pub mod watch;
