//! The model's own threads: each owns one session, and what goes in is a preprocessed image.

mod onnx;

pub use onnx::{OnnxBackend, Sessions, is_device_failure};

use crate::model::Golden;
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

/// Sessions on threads, proven by the golden inputs before they came here.
pub struct Engine<B = OnnxBackend> {
    crew: Crew<B>,
    healthy: AtomicBool,
    probe: Vec<u8>,
    proof: ProviderProof,
    execution: Value,
}

impl<B: Backend> Engine<B> {
    /// Starts one thread for each backend.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(backends: Vec<B>, probe: &Golden, proof: ProviderProof, execution: Value) -> std::io::Result<Self> {
        let crew = Crew::start("model", backends)?;
        Ok(Self { crew, healthy: AtomicBool::new(true), probe: probe.pixels().to_vec(), proof, execution })
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
