//! The backend on ONNX Runtime, through the crate `runtime`.

use super::{Backend, BackendError};
use crate::config::model::{ModelConfig, ProviderName};
use crate::model::ServedModel;
use runtime::{ModelOutputs, Provider, ProviderProof, Runtime, RuntimeError, Session, SessionOptions};
use serde_json::Value;

/// One session.
pub struct OnnxBackend(Session);

impl Backend for OnnxBackend {
    fn run(&mut self, pixels: &[u8], batch: usize) -> Result<ModelOutputs, BackendError> {
        Ok(self.0.run(pixels, batch)?)
    }
}

/// The configured sessions, all alike.
pub struct Sessions {
    /// One for each model thread.
    pub backends: Vec<OnnxBackend>,
    /// Which provider executes them.
    pub proof: ProviderProof,
    /// Their execution fingerprint.
    pub execution: Value,
}

impl Sessions {
    /// Loads ONNX Runtime and makes the sessions of the model.
    ///
    /// # Errors
    /// See [`is_device_failure`] for what may go away by itself.
    pub fn open(config: &ModelConfig, model: &ServedModel) -> Result<Self, RuntimeError> {
        let runtime = Runtime::load(&config.onnxruntime_library)?;
        let options = SessionOptions {
            provider: match config.provider {
                ProviderName::Cpu => Provider::Cpu,
                ProviderName::Cuda => Provider::Cuda {
                    device_id: config.device_id,
                    memory_limit_bytes: config.memory_limit_bytes,
                },
            },
            intra_threads: config.intra_threads,
            precision: model.variant().precision.clone(),
            ..SessionOptions::default()
        };
        let session = || runtime.session(model.graph(), &model.manifest().model, &options);
        let first = session()?;
        let proof = first.proof().clone();
        let execution = serde_json::to_value(first.fingerprint()).unwrap_or_default();
        let mut backends = vec![OnnxBackend(first)];
        while backends.len() < config.sessions {
            backends.push(OnnxBackend(session()?));
        }
        Ok(Self { backends, proof, execution })
    }
}

/// Whether the error lies in the device (the service waits, unready) and not in what was deployed (it does not start).
pub const fn is_device_failure(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Session { .. } | RuntimeError::Provider { .. } | RuntimeError::Run(_))
}
