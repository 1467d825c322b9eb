//! The model's own threads: each owns one session, and what goes in is a preprocessed image.

mod onnx;

pub use onnx::{OnnxBackend, Sessions, is_device_failure};

use crate::threads::{Crew, JobLost};
use cxr::ModelInput;
use runtime::{ModelOutputs, ProviderProof, RuntimeError};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Something that runs the model; it has its thread to itself.
pub trait Backend: Send + 'static {
    /// Runs a batch of inputs, `batch` images one after the other.
    ///
    /// # Errors
    /// When the model does not run.
    fn run(&mut self, pixels: &[u8], batch: usize) -> Result<ModelOutputs, BackendError>;
}

/// The session's error.
#[derive(Debug, thiserror::Error)]
#[error("the session failed")]
pub struct BackendError(#[from] RuntimeError);

/// Why there is no model output.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The model failed.
    #[error("the model does not run")]
    Backend(#[from] BackendError),
    /// Its thread panicked.
    #[error("the model's thread failed")]
    Lost(#[from] JobLost),
}

/// What the model said of one image, and how long that took.
#[derive(Debug)]
pub struct Inference {
    /// Raw score.
    pub logit: f32,
    /// Class activation map, row-major.
    pub cam: Vec<f32>,
    /// Its columns and rows.
    pub cam_size: (u32, u32),
    /// Embedding.
    pub embedding: Vec<f32>,
    /// Waiting for a session.
    pub queued: Duration,
    /// Running it.
    pub ran: Duration,
}

/// Sessions that execute, or why the device does not: then the service runs, unready, and predicts nothing.
pub type EngineState = Result<Engine, String>;

/// Sessions on threads, proven by the golden inputs before they came here.
pub struct Engine<B = OnnxBackend> {
    crew: Crew<B>,
    healthy: AtomicBool,
    probe: Vec<u8>,
    proof: ProviderProof,
    execution: Value,
}

impl<B: Backend> Engine<B> {
    /// Starts one thread for each backend; `probe` is an input that it must be able to run.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(
        backends: Vec<B>,
        probe: Vec<u8>,
        proof: ProviderProof,
        execution: Value,
    ) -> std::io::Result<Self> {
        let crew = Crew::start("model", backends)?;
        Ok(Self { crew, healthy: AtomicBool::new(true), probe, proof, execution })
    }

    /// Runs the model on one image.
    ///
    /// # Errors
    /// When the model does not run.
    pub async fn run(&self, input: ModelInput) -> Result<Inference, InferenceError> {
        self.submit(move |backend| backend.run(input.pixels(), 1)).await
    }

    /// Whether the model runs: known from the last image, or tried again after a failure.
    pub async fn is_healthy(&self) -> bool {
        if !self.healthy.load(Ordering::Relaxed) {
            let probe = self.probe.clone();
            drop(self.submit(move |backend| backend.run(&probe, 1)).await);
        }
        self.healthy.load(Ordering::Relaxed)
    }

    /// Which provider executes which part of the graph.
    pub const fn proof(&self) -> &ProviderProof {
        &self.proof
    }

    /// Everything that can change the last bits of an output.
    pub const fn execution(&self) -> &Value {
        &self.execution
    }

    async fn submit(
        &self,
        run: impl FnOnce(&mut B) -> Result<ModelOutputs, BackendError> + Send + 'static,
    ) -> Result<Inference, InferenceError> {
        let submitted = Instant::now();
        let job = move |backend: &mut B| {
            let started = Instant::now();
            (started - submitted, run(backend), started.elapsed())
        };
        let outcome = self.crew.run(job).await.map_err(InferenceError::from);
        let inference = outcome.and_then(|(queued, outputs, ran)| {
            let ModelOutputs { logits, cam, cam_size, embedding, .. } = outputs?;
            Ok(Inference { logit: logits[0], cam, cam_size, embedding, queued, ran })
        });
        self.healthy.store(inference.is_ok(), Ordering::Relaxed);
        inference
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::metadata::AcquisitionMetadata;
    use cxr::phantom::{PhantomSpec, encode_png, generate};
    use cxr::preprocess::{PreprocessSpec, preprocess};
    use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// Says the mean brightness, or fails while it is told to.
    struct Brightness(Arc<AtomicBool>);

    impl Backend for Brightness {
        fn run(&mut self, pixels: &[u8], batch: usize) -> Result<ModelOutputs, BackendError> {
            if self.0.load(Ordering::Relaxed) {
                return Err(RuntimeError::NotFinite { index: 0 }.into());
            }
            let mean = pixels.iter().map(|p| f32::from(*p)).sum::<f32>() / pixels.len() as f32;
            let (cam, embedding) = (vec![0.0; batch], vec![0.0; batch]);
            Ok(ModelOutputs {
                logits: vec![mean; batch],
                cam,
                cam_size: (1, 1),
                embedding,
                embedding_length: 1,
            })
        }
    }

    fn input() -> ModelInput {
        let spec = PhantomSpec { seed: 1, width: 256, height: 256, opacity: false };
        let image = cxr::decode(&encode_png(&generate(&spec), 256, 256), &DecodeLimits::default()).unwrap();
        let accepted =
            AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default())
                .unwrap();
        preprocess(&accepted, &PreprocessSpec::default())
    }

    #[tokio::test]
    async fn a_failure_is_remembered_until_a_known_input_runs_again() {
        let failing = Arc::new(AtomicBool::new(false));
        let proof = ProviderProof { provider: "test".into(), assigned_nodes: BTreeMap::default() };
        let engine =
            Engine::start(vec![Brightness(Arc::clone(&failing))], vec![7; 4], proof, Value::Null).unwrap();
        assert!(engine.run(input()).await.unwrap().logit > 0.0);
        failing.store(true, Ordering::Relaxed);
        assert!(engine.is_healthy().await, "known from the last image");
        assert!(matches!(engine.run(input()).await, Err(InferenceError::Backend(_))));
        assert!(!engine.is_healthy().await);
        failing.store(false, Ordering::Relaxed);
        assert!(engine.is_healthy().await);
    }
}
