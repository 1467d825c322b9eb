//! The way of one request, from admitted bytes to an audited answer. Read this file first.
//!
//! `Submission -> Case -> ModelInput -> Inference -> Finding -> AuditReceipt -> Answer`: each step takes what the one
//! before it made. What is refused or breaks on the way is audited as well.

mod admission;
mod answer;
mod case;
mod examine;
mod record;

pub use admission::{Admission, Gate};
pub use answer::{Answer, AnswerTimings, Stopped};
pub use case::{Stated, Submission};
pub use examine::{Failure, Stop};

use crate::audit::{AuditLog, InputKey};
use crate::infer::{Engine, EngineState};
use crate::model::ServedModel;
use crate::store::StoreError;
use crate::telemetry::metrics::Metrics;
use crate::threads::{Crew, JobLost};
use case::Case;
use cxr::{DecodeLimits, Workspace};
use examine::{Finding, Known};
use record::log_failure;
use std::sync::Arc;

/// Everything that a prediction needs; `App::build` makes one.
pub struct Pipeline {
    /// The verified bundle.
    pub model: Arc<ServedModel>,
    /// Sessions, or why the model does not execute.
    pub engine: Arc<EngineState>,
    /// Threads that decode, preprocess and draw.
    pub decoders: Crew<Workspace>,
    /// What an upload may cost.
    pub limits: DecodeLimits,
    /// Where rows go.
    pub audit: AuditLog,
    /// Key of the input digests.
    pub input_key: InputKey,
    /// The site that rows name.
    pub site: String,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

/// Why a submission has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PredictionError {
    /// The model does not execute; nothing was looked at.
    #[error("the model does not execute")]
    ModelUnavailable,
    /// The image was refused, or something broke; the row says so.
    #[error("the image has no prediction")]
    Stopped(Box<Stopped>),
    /// The row is not known to be committed, so there is no answer.
    #[error("the audit row is not committed")]
    Audit(#[from] StoreError),
    /// A thread or task of our own failed before there was anything to record.
    #[error("the prediction was not begun")]
    Lost(#[from] JobLost),
}

impl Pipeline {
    /// Predicts, in a task of its own: a client that hangs up cancels nothing.
    ///
    /// # Errors
    /// See [`PredictionError`].
    pub async fn predict(self: &Arc<Self>, submission: Submission) -> Result<Answer, PredictionError> {
        let pipeline = Arc::clone(self);
        let task = tokio::spawn(async move { Box::pin(pipeline.complete(submission)).await });
        task.await.unwrap_or(Err(PredictionError::Lost(JobLost)))
    }

    async fn complete(&self, submission: Submission) -> Result<Answer, PredictionError> {
        let engine = self.engine()?;
        let case = Case::open(submission, self).await?;
        let mut known = Known::default();
        let finding =
            self.examine(&case, engine, &mut known).await.inspect_err(|stop| log_failure(&case, stop));
        let row = self.row(&case, &known, &finding, engine);
        let (receipt, timings) = self.record(&case, row).await?;
        Answer::new(receipt, finding, Arc::clone(&self.model), timings)
    }

    /// The steps from bytes to decision; `known` keeps what they find out, however far they come.
    async fn examine(&self, case: &Case, engine: &Engine, known: &mut Known) -> Result<Finding, Stop> {
        let input = self.prepare(case, known).await?;
        let geometry = *input.geometry();
        let inference = Self::infer(engine, input, known).await?;
        let position = self.locate(&inference)?;
        let probability = self.calibrate(&inference);
        let decision = self.decide(probability, &position, known);
        let heatmap = self.explain(case, &inference, geometry).await?;
        Ok(Finding { inference, position, probability, decision, heatmap })
    }

    fn engine(&self) -> Result<&Engine, PredictionError> {
        self.engine.as_ref().as_ref().map_err(|_| PredictionError::ModelUnavailable)
    }
}
