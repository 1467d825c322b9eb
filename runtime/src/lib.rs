//! The one door to ONNX Runtime: load the library, make a session, prove which provider executes it, run it.
//!
//! No other crate names `ort`. What a bundle promises of its graph (names, types, shapes) is checked when the session is
//! made, and the provider that was asked for must be the one that executes: there is no silent fallback.

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
