//! The path of one request, from an admitted upload to an audited answer. Read this file first.
//!
//! `Submission -> Case -> ModelInput -> Inference -> Examination -> AuditReceipt -> Answer`: each step takes
//! the result of the step before. A case that is rejected, cancelled or fails has an audit row as well.
//!
//! | Step | File |
//! |---|---|
//! | order of the steps, pseudonym, candidate | this file |
//! | slots, upload's memory | `admission.rs` |
//! | deadline, disconnected client | `cancellation.rs` |
//! | id, input digest, idempotency key: `Case` | `case.rs` |
//! | replayed answer, answer to store for retries | `replayed.rs` |
//! | decode, preprocess, run the model, calibrate, decide | `examine.rs` |
//! | heatmap | `explain.rs` |
//! | facts of the image for its row | `observed.rs` |
//! | build and commit the audit row | `record.rs` |
//! | receipt and examination: `Answer` | `answer.rs` |

mod admission;
mod answer;
mod cancellation;
mod case;
mod examine;
mod explain;
mod observed;
mod record;
mod replayed;

pub use admission::{Admission, ImageSlots};
pub use answer::{Answer, AnswerTimings, Stopped};
pub use cancellation::{CancelReason, Cancellation, ClientGuard, cancellation};
pub use case::{Stated, Submission};
pub use examine::{Failure, Stop};
pub use explain::{Drawn, Explanation, Withheld};
pub use replayed::{OutsideRow, ReplayedAnswer, Reply};

use crate::audit::idempotency::IdempotencyKeys;
use crate::audit::{AuditLog, AuditReceipt, RecordError};
use crate::infer::Engine;
use crate::record::hmac::SiteKey;
use crate::serving::{CurrentModel, ModelSwitch};
use crate::shadow::{Answered, Shadow};
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use crate::worker_pool::WorkerPool;
use case::Case;
use cxr::intended_use::SitePatients;
use cxr::{DecodeLimits, Workspace};
use examine::{Examination, Progress, catch_panic};
use record::log_failure;
use std::sync::Arc;

/// Everything that a prediction needs; `App::build` makes one.
pub struct Pipeline {
    pub current_model: Arc<CurrentModel>,
    /// Whether the model answers.
    pub switch: Arc<ModelSwitch>,
    /// Scores the same inputs with a candidate, if one is configured.
    pub shadow: Option<Shadow>,
    /// Decode and preprocess images, and draw heatmaps.
    pub decoders: Arc<WorkerPool<Workspace>>,
    pub limits: DecodeLimits,
    pub audit: AuditLog,
    pub idempotency_keys: IdempotencyKeys,
    /// Key of the input digests.
    pub site_key: SiteKey,
    /// Name of the site in audit rows.
    pub site: String,
    /// Ages, views and modalities that the site's configuration states for all its patients.
    pub patients: SitePatients,
    pub metrics: Arc<Metrics>,
}

/// Why a submission has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PredictionError {
    #[error("the model cannot run")]
    ModelUnavailable,
    /// The image was rejected, cancelled or failed, and its audit row is committed.
    #[error("the image has no prediction")]
    Stopped(Box<Stopped>),
    #[error("a request with this idempotency key is in progress")]
    KeyInProgress,
    #[error("this idempotency key belongs to another request")]
    KeyReused,
    #[error("the audit row is not committed")]
    Audit(#[from] RecordError),
    #[error("the upload could not be digested")]
    Lost(#[from] JobLost),
}

impl Pipeline {
    /// Answers a submission, or replays the first answer under its idempotency key. Run it in a task of its
    /// own: when the client disconnects, the audit row must still be written.
    pub async fn predict(&self, submission: Submission) -> Result<Reply, PredictionError> {
        let serving = self.current_model.get();
        let engine = serving.engine.as_ref().map_err(|_| PredictionError::ModelUnavailable)?;
        let case = Case::open(submission, &serving, self).await?;
        let Some(key) = case.key else { return self.answer(&case, engine).await };
        let _in_progress = self.idempotency_keys.begin(&key).ok_or(PredictionError::KeyInProgress)?;
        if let Some(replayed) = self.replayed(&case, &key).await? {
            return Ok(replayed);
        }
        match self.answer(&case, engine).await {
            // Another replica has committed the row of a request with this key: its answer is the first.
            Err(PredictionError::Audit(RecordError::Repeated)) => {
                self.replayed(&case, &key).await?.ok_or(PredictionError::KeyInProgress)
            }
            answered => answered,
        }
    }

    /// From a case to its committed row and the answer.
    async fn answer(&self, case: &Case, engine: &Engine) -> Result<Reply, PredictionError> {
        let mut progress = Progress::admitted(case);
        let prediction = catch_panic(self.examine(case, engine, &mut progress));
        let (outcome, subject) = tokio::join!(prediction, self.pseudonym(case));
        let outcome = outcome.inspect_err(|stop| log_failure(case, stop));
        let row = self.row(case, &progress, &outcome, subject?, engine);
        let (receipt, timings) = self.record(case, &progress, &outcome, row).await?;
        self.offer_to_candidate(case, &progress, &outcome, &receipt);
        let answer = Answer::new(receipt, outcome, Arc::clone(&case.serving), timings)?;
        Ok(Reply::Fresh(Box::new(answer)))
    }

    /// The steps from bytes to decision. `progress` keeps what they found, even if one of them fails.
    async fn examine(
        &self,
        case: &Case,
        engine: &Engine,
        progress: &mut Progress,
    ) -> Result<Examination, Stop> {
        let input = Arc::new(self.prepare(case, progress).await?);
        let inference = case.infer(engine, &input, progress).await?;
        let position = case.locate(&inference)?;
        let probability = case.calibrate(&inference);
        let assumed = self.patients.assumed_for(&progress.observed.metadata);
        let decided = case.decide(probability, &position, progress, &assumed);
        let out_of_service = self.switch.is_advisory().await;
        let decision = if out_of_service { decided.out_of_service() } else { decided };
        let map = case.activation_map(&inference, &decision);
        let explanation = self.explain(case, map, *input.geometry()).await?;
        Ok(Examination {
            input,
            inference,
            position,
            probability,
            decision,
            models_kind: decided.kind,
            assumed,
            explanation,
        })
    }

    /// The pseudonym of the patient, if the client sent an identifier.
    async fn pseudonym(&self, case: &Case) -> Result<Option<[u8; 32]>, RecordError> {
        let Some(identifier) = &case.submission.stated.subject else { return Ok(None) };
        Ok(Some(self.audit.pseudonym(identifier).await?))
    }

    /// Queues a predicted image for the candidate.
    fn offer_to_candidate(
        &self,
        case: &Case,
        progress: &Progress,
        outcome: &Result<Examination, Stop>,
        receipt: &AuditReceipt,
    ) {
        let (Some(shadow), Ok(prediction)) = (&self.shadow, outcome) else { return };
        let answered = Answered {
            id: receipt.id(),
            score: prediction.score(),
            stated: progress.observed.metadata,
            assumed: prediction.assumed.clone(),
        };
        shadow.offer(answered, &case.submission.image, &prediction.input, &case.serving);
    }
}
