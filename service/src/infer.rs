//! The model's own threads: each owns one session, and what goes in is a preprocessed image.
//!
//! `Engine -> queue (owner task) -> policy (pure) -> worker (a thread a session) -> Backend`.

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

/// Something that runs the model; it has its thread to itself.
pub trait Backend: Send + 'static {
    /// Runs a batch of inputs.
    ///
    /// # Errors
    /// When the model does not run.
    fn run(&mut self, images: &[&[u8]]) -> Result<ModelOutputs, BackendError>;
}

/// The session's error.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// ONNX Runtime refused or failed.
    #[error("the session failed")]
    Session(#[from] RuntimeError),
    /// Fewer outputs than images.
    #[error("the session gave fewer outputs than it got images")]
    Short,
}

/// Why there is no model output.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The model failed.
    #[error("the model does not run")]
    Backend(#[from] BackendError),
    /// Its thread panicked.
    #[error("the model's thread failed")]
    Lost(#[from] JobLost),
    /// Its deadline passed before a session took it.
    #[error("the deadline passed before the model ran")]
    Expired,
    /// Its client went away before a session took it.
    #[error("the client went away before the model ran")]
    Abandoned,
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
    /// Everything that can change the last bits of these.
    pub execution: Arc<Value>,
    /// Waiting for a session.
    pub queued: Duration,
    /// Running the batch that it was in.
    pub ran: Duration,
}

/// Sessions that execute, or why the device does not: then the service runs, unready, and predicts nothing.
pub type EngineState = Result<Engine, String>;

/// Sessions on threads, proven by the golden inputs before they came here.
pub struct Engine {
    messages: UnboundedSender<Message>,
    healthy: AtomicBool,
    probe: Arc<[u8]>,
    proof: ProviderProof,
    execution: Arc<Value>,
    execution_alone: Option<Arc<Value>>,
}

/// A session for an image that nothing runs beside.
pub struct Alone<B> {
    /// The session.
    pub backend: B,
    /// Its execution fingerprint.
    pub execution: Value,
}

/// What an engine says of itself.
#[derive(Debug, Clone)]
pub struct EngineFacts {
    /// An input that it must be able to run.
    pub probe: Vec<u8>,
    /// Which provider executes which part of the graph.
    pub proof: ProviderProof,
    /// Everything that can change the last bits of an output of the sessions that are alike.
    pub execution: Value,
}

impl Engine {
    /// Starts one thread for each backend, and one for what runs alone. Call inside a Tokio runtime.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start<B: Backend>(
        backends: Vec<B>,
        alone: Option<Alone<B>>,
        policy: BatchPolicy,
        niceness: i32,
        facts: EngineFacts,
        metrics: Option<&Arc<Metrics>>,
    ) -> std::io::Result<Self> {
        let EngineFacts { probe, proof, execution } = facts;
        let execution = Arc::new(execution);
        let (shared, made_up) = mpsc::channel();
        let (only, single) = mpsc::channel();
        let (made_up, single) = (Arc::new(Mutex::new(made_up)), Arc::new(Mutex::new(single)));
        let policy = BatchPolicy { alone: alone.is_some(), ..policy };
        let messages = queue::start(policy, Lanes { shared, alone: only }, metrics.map(Arc::clone));
        let worker = |backend, execution, typical| {
            let (owner, metrics) = (messages.downgrade(), metrics.map(Arc::clone));
            Worker { backend, execution, typical, owner, metrics }
        };
        for (index, backend) in backends.into_iter().enumerate() {
            let (worker, made_up) = (worker(backend, Arc::clone(&execution), true), Arc::clone(&made_up));
            threads::spawn(format!("model-{index}"), niceness, move || worker.work(&made_up))?;
        }
        let mut execution_alone = None;
        if let Some(Alone { backend, execution }) = alone {
            let execution = Arc::clone(execution_alone.insert(Arc::new(execution)));
            let worker = worker(backend, execution, false);
            threads::spawn("model-alone".into(), niceness, move || worker.work(&single))?;
        }
        let healthy = AtomicBool::new(true);
        Ok(Self { messages, healthy, probe: probe.into(), proof, execution, execution_alone })
    }

    /// Runs the model on one image, unless its deadline passes or `gone` completes before a session takes it. `only`: nothing
    /// else is in the service.
    ///
    /// # Errors
    /// When the model does not run.
    pub async fn run(
        &self,
        input: Arc<ModelInput>,
        deadline: Instant,
        only: bool,
        gone: impl Future<Output = ()>,
    ) -> Result<Inference, InferenceError> {
        self.submit(Pixels::Image(input), Some(deadline), only, gone).await
    }

    /// Whether the model runs: known from the last image, or tried again after a failure.
    pub async fn is_healthy(&self) -> bool {
        if !self.healthy.load(Ordering::Relaxed) {
            drop(
                self.submit(Pixels::Probe(Arc::clone(&self.probe)), None, false, std::future::pending())
                    .await,
            );
        }
        self.healthy.load(Ordering::Relaxed)
    }

    /// Which provider executes which part of the graph.
    pub const fn proof(&self) -> &ProviderProof {
        &self.proof
    }

    /// Everything that can change the last bits of an output of the sessions that are alike.
    pub const fn execution(&self) -> &Arc<Value> {
        &self.execution
    }

    /// The same of the session for an image that nothing runs beside, where there is one.
    pub fn execution_alone(&self) -> Option<&Value> {
        self.execution_alone.as_deref()
    }

    async fn submit(
        &self,
        pixels: Pixels,
        deadline: Option<Instant>,
        only: bool,
        gone: impl Future<Output = ()>,
    ) -> Result<Inference, InferenceError> {
        let (reply, mut answered) = oneshot::channel();
        let ticket = Ticket::default();
        let item = Item { pixels, deadline, only, submitted: Instant::now(), ticket: ticket.clone(), reply };
        self.messages.send(Message::Submit(item)).map_err(|_| JobLost)?;
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let given_up = tokio::select! {
            biased;
            answer = &mut answered => return self.noted(answer),
            () = expired => InferenceError::Expired,
            () = gone => InferenceError::Abandoned,
        };
        // A session that has it will answer, and what ran is told.
        if ticket.give_up() { Err(given_up) } else { self.noted(answered.await) }
    }

    fn noted(
        &self,
        answer: Result<Result<Inference, InferenceError>, oneshot::error::RecvError>,
    ) -> Result<Inference, InferenceError> {
        let answer = answer.unwrap_or(Err(InferenceError::Lost(JobLost)));
        match &answer {
            Ok(_) => self.healthy.store(true, Ordering::Relaxed),
            Err(InferenceError::Backend(_) | InferenceError::Lost(_)) => {
                self.healthy.store(false, Ordering::Relaxed);
            }
            // Says nothing of the model.
            Err(InferenceError::Expired | InferenceError::Abandoned) => {}
        }
        answer
    }
}

#[cfg(test)]
mod tests;
