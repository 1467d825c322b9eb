//! The way of one request, from admitted bytes to an audited answer. Read this file first.
//!
//! `Submission -> Case -> ModelInput -> Inference -> Finding -> AuditReceipt -> Answer`: each step takes what the one
//! before it made. What is refused, breaks or comes too late on the way is audited as well.

mod admission;
mod answer;
mod cancellation;
mod case;
mod examine;
mod explain;
mod load;
mod observed;
mod record;
mod replayed;

pub use admission::{Admission, Gate};
pub use answer::{Answer, AnswerTimings, Stopped};
pub use cancellation::{CancelReason, Cancellation, ClientGuard, cancellation};
pub use case::{Stated, Submission};
pub use examine::{Failure, Stop};
pub use explain::{Drawn, Explanation, Withheld};
pub use replayed::{OutsideRow, ReplayedAnswer, Reply};

use crate::audit::idempotency::IdempotencyKeys;
use crate::audit::{AuditLog, RecordError};
use crate::infer::Engine;
use crate::record::hmac::SiteKey;
use crate::serving::{Serving, Slot};
use crate::shadow::{Answered, Shadow};
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use crate::worker_pool::WorkerPool;
use case::Case;
use cxr::intended_use::SitePatients;
use cxr::{DecodeLimits, Workspace};
use examine::{Examined, Finding, Known, caught};
use record::log_failure;
use std::sync::Arc;

/// Everything that a prediction needs; `App::build` makes one.
pub struct Pipeline {
    /// What serves; an image keeps what served when its case was opened.
    pub slot: Arc<Slot>,
    /// A candidate that scores the same inputs.
    pub shadow: Option<Shadow>,
    /// Threads that decode, preprocess and draw.
    pub decoders: Arc<WorkerPool<Workspace>>,
    /// What an upload may cost.
    pub limits: DecodeLimits,
    /// Where rows go.
    pub audit: AuditLog,
    /// Idempotency keys, and which of them are in progress.
    pub idempotency_keys: IdempotencyKeys,
    /// Key of the input digests.
    pub site_key: SiteKey,
    /// The site that rows name.
    pub site: String,
    /// What the site states of all its patients.
    pub patients: SitePatients,
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
    /// The same client is being answered under this idempotency key at this moment.
    #[error("a request with this idempotency key is under way")]
    UnderWay,
    /// The same client sent something else under this idempotency key.
    #[error("this idempotency key belongs to another request")]
    KeyReused,
    /// The row is not known to be committed, so there is no answer.
    #[error("the audit row is not committed")]
    Audit(#[from] RecordError),
    /// A thread or task of our own failed before there was anything to record.
    #[error("the prediction was not begun")]
    Lost(#[from] JobLost),
}

impl Pipeline {
    /// Answers, or returns the stored answer under the same idempotency key. Run it in a task of its own, so that nothing
    /// cancels it: a client that hangs up leaves its row like any other. Before the model has begun it frees its place at once;
    /// afterwards the work is done to its end.
    ///
    /// # Errors
    /// See [`PredictionError`].
    pub async fn predict(&self, submission: Submission) -> Result<Reply, PredictionError> {
        let serving = self.slot.current();
        let engine = executing(&serving)?;
        let case = Case::open(submission, &serving, self).await?;
        let Some(key) = case.key else { return self.work(&case, engine).await };
        let _under_way = self.idempotency_keys.begin(&key).ok_or(PredictionError::UnderWay)?;
        if let Some(replayed) = self.replayed(&case, &key).await? {
            return Ok(Reply::Replayed(Box::new(replayed)));
        }
        match self.work(&case, engine).await {
            // Another process was faster under this key: its row is the only one, and its answer the first.
            Err(PredictionError::Audit(RecordError::Repeated)) => {
                let replayed = self.replayed(&case, &key).await?.ok_or(PredictionError::UnderWay)?;
                Ok(Reply::Replayed(Box::new(replayed)))
            }
            worked => worked,
        }
    }

    /// From a case to its committed row.
    async fn work(&self, case: &Case, engine: &Engine) -> Result<Reply, PredictionError> {
        let mut known = Known::admitted(case);
        let examination = caught(self.examine(case, engine, &mut known));
        let (examined, subject) = tokio::join!(examination, self.pseudonym(case));
        let examined = examined.inspect_err(|stop| log_failure(case, stop));
        let row = self.row(case, &known, &examined, subject?, engine);
        let (receipt, timings) = self.record(case, &known, &examined, row).await?;
        if let (Some(shadow), Ok(Examined { input, finding })) = (&self.shadow, &examined) {
            let answered = Answered {
                id: receipt.id(),
                score: finding.score(),
                stated: known.observed.metadata,
                assumed: finding.assumed.clone(),
            };
            shadow.offer(answered, &case.image, input, &case.serving);
        }
        let finding = examined.map(|examined| examined.finding);
        let answer = Answer::new(receipt, finding, Arc::clone(&case.serving), timings)?;
        Ok(Reply::Fresh(Box::new(answer)))
    }

    /// What the row holds in place of the person's identifier, where one was given.
    async fn pseudonym(&self, case: &Case) -> Result<Option<[u8; 32]>, RecordError> {
        let Some(identifier) = &case.stated.subject else { return Ok(None) };
        Ok(Some(self.audit.pseudonym(identifier).await?))
    }

    /// The steps from bytes to decision; `known` keeps what they find out, however far they come.
    async fn examine(&self, case: &Case, engine: &Engine, known: &mut Known) -> Result<Examined, Stop> {
        let input = Arc::new(self.prepare(case, known).await?);
        let inference = Self::infer(engine, &input, case, known).await?;
        let position = case.locate(&inference)?;
        let probability = case.calibrate(&inference);
        let assumed = self.patients.assumed_for(&known.observed.metadata);
        let decision = case.decide(probability, &position, known, &assumed);
        let map = case.map(&inference, &decision);
        let explanation = self.explain(case, map, *input.geometry()).await?;
        let finding = Finding { inference, position, probability, decision, assumed, explanation };
        Ok(Examined { input, finding })
    }
}

fn executing(serving: &Serving) -> Result<&Engine, PredictionError> {
    serving.engine.as_ref().map_err(|_| PredictionError::ModelUnavailable)
}
