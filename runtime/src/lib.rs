//! The only access to ONNX Runtime: loads it, creates and runs sessions, checks which provider executes them.
//!
//! No other crate names `ort`. A session is checked against the bundle's contract (names, types, shapes) when
//! it is created. The requested provider must execute the graph: there is no silent fallback.

mod activations;
mod error;
mod fingerprint;
mod library;
mod options;
mod pinned;
mod proof;
mod session;
mod telemetry;

pub use activations::ActivationSession;
pub use error::RuntimeError;
pub use fingerprint::ExecutionFingerprint;
pub use library::Runtime;
pub use options::{CudaOptions, Provider, SessionOptions};
pub use proof::ProviderProof;
pub use session::{ModelOutputs, Session};
pub use telemetry::disable_telemetry;
