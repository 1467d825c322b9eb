//! Statistics of monitoring: rows in, windows, evidence, estimates and alarms out. Pure functions: no I/O, no
//! clock.
//!
//! State that replicas must reproduce to the bit uses only operations that IEEE 754 rounds exactly (addition,
//! multiplication, division, square root, comparison); `ln` and `exp` differ between hosts.

pub mod baseline;
pub mod calibration;
mod codec;
pub mod drift;
pub mod engine;
pub mod evidence;
pub mod histogram;
pub mod misses;
pub mod observation;
pub mod performance;
pub mod prevalence;
pub mod quantity;
pub mod simulate;
pub mod snapshot;
pub mod stream;
pub mod window;

pub use codec::DecodeError;
