//! The way of one request, from admitted bytes to an audited answer. Read this file first.
//!
//! `Submission -> Case -> ModelInput -> Inference -> Finding -> AuditReceipt -> Answer`: each step takes what the one
//! before it made. What is refused, breaks or comes too late on the way is audited as well.

mod admission;
mod answer;
mod case;
mod examine;
mod patience;
mod record;

pub use admission::{Admission, Gate};
pub use answer::{Answer, AnswerTimings, Stopped};
pub use case::{Stated, Submission};
pub use examine::{Failure, Stop};
pub use patience::{Impatience, Patience, Presence, until as patience};

use crate::audit::{AuditLog, InputKey, RecordError};
use crate::infer::Engine;
use crate::serving::{Serving, Slot};
use crate::shadow::Shadow;
use crate::telemetry::metrics::Metrics;
use crate::threads::{Crew, JobLost};
use case::Case;
use cxr::{DecodeLimits, Workspace};
use examine::{Examined, Finding, Known};
use record::log_failure;
use std::sync::Arc;

/// Everything that a prediction needs; `App::build` makes one.
pub struct Pipeline {
    /// What serves; an image keeps what served when its case was opened.
    pub slot: Arc<Slot>,
    /// A candidate that scores the same inputs.
    pub shadow: Option<Shadow>,
    /// Threads that decode, preprocess and draw.
    pub decoders: Arc<Crew<Workspace>>,
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
    /// The image was refused, came too late, or something broke; the row says so.
    #[error("the image has no prediction")]
    Stopped(Box<Stopped>),
    /// The row is not known to be committed, so there is no answer.
    #[error("the audit row is not committed")]
    Audit(#[from] RecordError),
    /// A thread or task of our own failed before there was anything to record.
    #[error("the prediction was not begun")]
    Lost(#[from] JobLost),
}

impl Pipeline {
    /// Predicts. Run it in a task of its own, so that nothing cancels it: a client that hangs up leaves its row like any
    /// other. Before the model has begun it frees its place at once; afterwards the work is done to its end.
    ///
    /// # Errors
    /// See [`PredictionError`].
    pub async fn predict(&self, submission: Submission) -> Result<Answer, PredictionError> {
        let serving = self.slot.current();
        let engine = executing(&serving)?;
        let case = Case::open(submission, &serving, self).await?;
        let mut known = Known::admitted(&case);
        let examined =
            self.examine(&case, engine, &mut known).await.inspect_err(|stop| log_failure(&case, stop));
        let row = self.row(&case, &known, &examined, engine);
        let (receipt, timings) = self.record(&case, row).await?;
        if let (Some(shadow), Ok(Examined { input, finding })) = (&self.shadow, &examined) {
            shadow.offer(receipt.id(), &case.image, input, &serving, finding.score());
        }
        Answer::new(receipt, examined.map(|examined| examined.finding), serving, timings)
    }

    /// The steps from bytes to decision; `known` keeps what they find out, however far they come.
    async fn examine(&self, case: &Case, engine: &Engine, known: &mut Known) -> Result<Examined, Stop> {
        let input = Arc::new(self.prepare(case, known).await?);
        let inference = Self::infer(engine, &input, case, known).await?;
        let position = case.locate(&inference)?;
        let probability = case.calibrate(&inference);
        let decision = case.decide(probability, &position, known);
        let heatmap = self.explain(case, &inference, *input.geometry()).await?;
        Ok(Examined { input, finding: Finding { inference, position, probability, decision, heatmap } })
    }
}

fn executing(serving: &Serving) -> Result<&Engine, PredictionError> {
    serving.engine.as_ref().map_err(|_| PredictionError::ModelUnavailable)
}
