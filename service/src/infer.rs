//! Runs the model on preprocessed images: each session has a thread of its own.
//!
//! `Engine -> queue (one task) -> policy (pure) -> worker (one thread per session) -> Backend`.

mod onnx;
mod policy;
mod queue;
mod ticket;
mod tuning;
mod worker;

pub use onnx::{OnnxBackend, Sessions, is_device_failure};
pub use policy::BatchPolicy;
pub use tuning::Tuning;

use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::SpanRef;
use crate::threads::{self, JobLost};
use cxr::ModelInput;
use queue::{Item, Lanes, Message, Pixels};
use runtime::{ModelOutputs, ProviderProof, RuntimeError};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use ticket::Ticket;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use worker::Worker;

/// Runs a model on a thread of its own.
pub trait Backend: Send + 'static {
    /// Runs a batch of images, each as the bytes of one [`ModelInput`].
    fn run(&mut self, images: &[&[u8]]) -> Result<ModelOutputs, BackendError>;
}

#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("the session failed")]
    Session(#[from] RuntimeError),
    #[error("the session gave fewer outputs than it got images")]
    Short,
}

#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    #[error("the model does not run")]
    Backend(#[from] BackendError),
    #[error("the model's thread failed")]
    Lost(#[from] JobLost),
    #[error("the deadline passed before the model ran")]
    Expired,
    #[error("the client disconnected before the model ran")]
    Cancelled,
}

/// The model's outputs for one image, with timings.
#[derive(Debug)]
pub struct Inference {
    pub logit: f32,
    /// Class activation map, row-major.
    pub cam: Vec<f32>,
    /// Columns and rows of the map.
    pub cam_size: (u32, u32),
    pub embedding: Vec<f32>,
    /// Execution fingerprint: everything that can change the last bits of the outputs.
    pub execution: Arc<Value>,
    pub queued: Duration,
    /// When its batch began to run.
    pub began: Instant,
    /// Time that its batch ran.
    pub ran: Duration,
    pub batch_size: usize,
    /// The exported spans of its batch.
    pub batch_spans: Arc<[SpanRef]>,
}

/// A running engine, or why the device cannot run the model. Without an engine the service is unready.
pub type EngineState = Result<Engine, String>;

/// Sessions on threads of their own. The caller has checked their golden outputs.
pub struct Engine {
    messages: UnboundedSender<Message>,
    healthy: AtomicBool,
    probe: Arc<[u8]>,
    proof: ProviderProof,
    execution: Arc<Value>,
    single_image_execution: Option<Arc<Value>>,
}

/// The single-image session: it has more threads and gets an image while no other is in flight.
pub struct SingleImageSession<B> {
    pub backend: B,
    pub execution: Value,
}

#[derive(Debug, Clone)]
pub struct EngineFacts {
    /// An input for health checks.
    pub probe: Vec<u8>,
    /// Execution provider of each node of the graph.
    pub proof: ProviderProof,
    /// Execution fingerprint of the sessions for batches.
    pub execution: Value,
}

impl Engine {
    /// Starts one thread per session. Call inside a Tokio runtime.
    pub fn start<B: Backend>(
        backends: Vec<B>,
        single_image: Option<SingleImageSession<B>>,
        policy: BatchPolicy,
        niceness: i32,
        facts: EngineFacts,
        metrics: Option<&Arc<Metrics>>,
    ) -> std::io::Result<Self> {
        let EngineFacts { probe, proof, execution } = facts;
        let execution = Arc::new(execution);
        let (shared, batches) = mpsc::channel();
        let (single_image_lane, single_images) = mpsc::channel();
        let (batches, single_images) = (Arc::new(Mutex::new(batches)), Arc::new(Mutex::new(single_images)));
        let policy = BatchPolicy { has_single_image_session: single_image.is_some(), ..policy };
        let lanes = Lanes { shared, single_image: single_image_lane };
        let messages = queue::start(policy, lanes, metrics.map(Arc::clone));
        let worker = |backend, execution, typical| {
            let (owner, metrics) = (messages.downgrade(), metrics.map(Arc::clone));
            Worker { backend, execution, typical, owner, metrics }
        };
        for (index, backend) in backends.into_iter().enumerate() {
            let (worker, batches) = (worker(backend, Arc::clone(&execution), true), Arc::clone(&batches));
            threads::spawn(format!("model-{index}"), niceness, move || worker.work(&batches))?;
        }
        let mut single_image_execution = None;
        if let Some(SingleImageSession { backend, execution }) = single_image {
            let execution = Arc::clone(single_image_execution.insert(Arc::new(execution)));
            let worker = worker(backend, execution, false);
            threads::spawn("model-single".into(), niceness, move || worker.work(&single_images))?;
        }
        let healthy = AtomicBool::new(true);
        Ok(Self { messages, healthy, probe: probe.into(), proof, execution, single_image_execution })
    }

    /// Runs an image unless `deadline` or `disconnected` comes before a session takes it.
    /// `only`: no other image is in flight. `span`: that of the run, if its trace is exported.
    pub async fn run(
        &self,
        input: Arc<ModelInput>,
        deadline: Instant,
        only: bool,
        disconnected: impl Future<Output = ()>,
        span: Option<SpanRef>,
    ) -> Result<Inference, InferenceError> {
        self.submit(Pixels::Image(input), Some(deadline), only, disconnected, span).await
    }

    /// Whether the last image ran; after a failure, the probe is run.
    pub async fn is_healthy(&self) -> bool {
        if !self.healthy.load(Ordering::Relaxed) {
            let probe = Pixels::Probe(Arc::clone(&self.probe));
            drop(self.submit(probe, None, false, std::future::pending(), None).await);
        }
        self.healthy.load(Ordering::Relaxed)
    }

    pub const fn proof(&self) -> &ProviderProof {
        &self.proof
    }

    pub const fn execution(&self) -> &Arc<Value> {
        &self.execution
    }

    pub fn single_image_execution(&self) -> Option<&Value> {
        self.single_image_execution.as_deref()
    }

    async fn submit(
        &self,
        pixels: Pixels,
        deadline: Option<Instant>,
        only: bool,
        disconnected: impl Future<Output = ()>,
        span: Option<SpanRef>,
    ) -> Result<Inference, InferenceError> {
        let (reply, mut answered) = oneshot::channel();
        let ticket = Ticket::default();
        let (submitted, ticket_of_item) = (Instant::now(), ticket.clone());
        let item = Item { pixels, deadline, only, submitted, span, ticket: ticket_of_item, reply };
        self.messages.send(Message::Submit(item)).map_err(|_| JobLost)?;
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let cancelled = tokio::select! {
            biased;
            answer = &mut answered => return self.update_health(answer),
            () = expired => InferenceError::Expired,
            () = disconnected => InferenceError::Cancelled,
        };
        // Too late to cancel: the session has taken the image, so wait for its result.
        if ticket.cancel() { Err(cancelled) } else { self.update_health(answered.await) }
    }

    /// Remembers whether the model ran.
    fn update_health(
        &self,
        answer: Result<Result<Inference, InferenceError>, oneshot::error::RecvError>,
    ) -> Result<Inference, InferenceError> {
        let answer = answer.unwrap_or(Err(InferenceError::Lost(JobLost)));
        match &answer {
            Ok(_) => self.healthy.store(true, Ordering::Relaxed),
            Err(InferenceError::Backend(_) | InferenceError::Lost(_)) => {
                self.healthy.store(false, Ordering::Relaxed);
            }
            // Not a failure of the model.
            Err(InferenceError::Expired | InferenceError::Cancelled) => {}
        }
        answer
    }
}

#[cfg(test)]
mod tests;
