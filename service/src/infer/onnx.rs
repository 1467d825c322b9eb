//! The backend that runs ONNX Runtime, through the crate `runtime`.

use super::{Backend, BackendError, BatchPolicy, SingleImageSession, Tuning};
use crate::config::model::{ModelConfig, ProviderName};
use crate::model::ServedModel;
use runtime::{
    CudaOptions, ModelOutputs, Provider, ProviderProof, Runtime, RuntimeError, Session, SessionOptions,
};
use serde_json::Value;

pub struct OnnxBackend(Session);

impl Backend for OnnxBackend {
    fn run(&mut self, images: &[&[u8]]) -> Result<ModelOutputs, BackendError> {
        Ok(self.0.run_images(images)?)
    }
}

/// The sessions of a model, before they have threads.
pub struct Sessions {
    /// Sessions for batches; they are alike.
    pub backends: Vec<OnnxBackend>,
    pub single_image: Option<SingleImageSession<OnnxBackend>>,
    pub policy: BatchPolicy,
    /// Batch sizes that the sessions run; empty if they run any size.
    pub batch_sizes: Vec<usize>,
    pub proof: ProviderProof,
    pub execution: Value,
}

impl Sessions {
    /// Loads ONNX Runtime and creates the sessions; [`is_device_failure`] tells errors of the device apart.
    pub fn open(config: &ModelConfig, model: &ServedModel) -> Result<Self, RuntimeError> {
        let runtime = Runtime::load(&config.onnxruntime_library)?;
        let tuning = Tuning::of(config, model);
        let options = SessionOptions {
            provider: provider(config, &tuning),
            intra_threads: tuning.intra_threads,
            spinning: tuning.spinning,
            arena: tuning.arena,
            batch_sizes: tuning.batch_sizes.clone(),
            precision: model.variant().precision.clone(),
        };
        let session = |options| runtime.session(model.graph(), &model.manifest().model, options);
        let first = session(&options)?;
        let proof = first.proof().clone();
        let execution = serde_json::to_value(first.fingerprint()).unwrap_or_default();
        let mut backends = vec![OnnxBackend(first)];
        while backends.len() < tuning.sessions {
            backends.push(OnnxBackend(session(&options)?));
        }
        let single_image = match tuning.single_image_threads {
            Some(intra_threads) => {
                let session = session(&SessionOptions { intra_threads, ..options.clone() })?;
                let execution = serde_json::to_value(session.fingerprint()).unwrap_or_default();
                Some(SingleImageSession { backend: OnnxBackend(session), execution })
            }
            None => None,
        };
        let policy = BatchPolicy {
            max_batch: tuning.max_batch,
            max_delay: config.batching.max_delay_ms.duration(),
            sessions: tuning.sessions,
            has_single_image_session: single_image.is_some(),
        };
        Ok(Self { backends, single_image, policy, batch_sizes: tuning.batch_sizes, proof, execution })
    }
}

fn provider(config: &ModelConfig, tuning: &Tuning) -> Provider {
    match config.provider {
        ProviderName::Cpu => Provider::Cpu,
        ProviderName::Cuda => Provider::Cuda(CudaOptions {
            device_id: config.device_id.get(),
            memory_limit_bytes: config.memory_limit_bytes,
            tf32: config.tf32,
            graphs: tuning.cuda_graphs,
            ..CudaOptions::default()
        }),
        ProviderName::Openvino => Provider::OpenVino { device: config.openvino_device.clone() },
    }
}

/// Whether the device failed and the service starts unready; otherwise the deployment is wrong.
pub const fn is_device_failure(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Session { .. } | RuntimeError::Provider { .. } | RuntimeError::Run(_))
}
