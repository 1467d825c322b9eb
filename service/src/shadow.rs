//! The candidate scores answered images in the background, and its scores are compared with the answers.
//!
//! It scores one image at a time, on a session of low priority. Images beyond its queue are counted and not
//! scored.

use crate::config::model::ShadowConfig;
use crate::infer::InferenceError;
use crate::model::ServedModel;
use crate::record::shadow::ShadowRow;
use crate::serving::Serving;
use crate::store::{Store, StoreError};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::{Metrics, ShadowResult};
use crate::threads::JobLost;
use crate::worker_pool::{Load, WorkerPool};
use bytes::Bytes;
use cxr::decide::DecisionKind;
use cxr::decode::cost;
use cxr::embedding::EmbeddingMismatch;
use cxr::intended_use::SitePatients;
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::preprocess_with;
use cxr::{AcceptedImage, Cancel, DecodeError, DecodeLimits, ModelInput, Workspace};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Deadline of an image: a device that hangs must not block the queue forever.
const DEADLINE: Duration = Duration::from_mins(1);

/// Its client name in the worker pool; the `sub` of a token is never empty.
const CLIENT: &str = "";

/// The part of a result that is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Calibrated probability of the positive class.
    pub probability: f64,
    pub kind: DecisionKind,
}

/// An answer, with the metadata that its decision depends on.
#[derive(Debug, Clone)]
pub struct Answered {
    pub id: Uuid,
    pub score: Score,
    /// Metadata from the client or the file.
    pub stated: AcquisitionMetadata,
    /// The site-wide patient data that replaced missing metadata.
    pub assumed: SitePatients,
}

/// An answered image, queued for the candidate.
struct Offer {
    answered: Answered,
    image: OfferedImage,
}

enum OfferedImage {
    /// The input of the current model, if the candidate preprocesses images in the same way.
    Input(Arc<ModelInput>),
    Upload(Bytes),
}

#[derive(Debug, thiserror::Error)]
enum ShadowError {
    #[error("the candidate cannot run: {0}")]
    Unavailable(String),
    #[error("the image cannot be decoded a second time")]
    Lost(#[from] JobLost),
    #[error("the candidate rejects the image")]
    Rejected(#[from] DecodeError),
    #[error("inference failed")]
    Inference(#[from] InferenceError),
    #[error("the embedding does not fit the candidate's reference")]
    Embedding(#[from] EmbeddingMismatch),
    #[error("the row of the score is not committed")]
    Store(#[from] StoreError),
}

pub struct Shadow {
    offers: mpsc::Sender<Offer>,
    scorer: Arc<Scorer>,
}

impl Shadow {
    /// Starts the scoring task. Call inside a Tokio runtime.
    pub fn start(
        config: &ShadowConfig,
        candidate: Serving,
        decoders: Arc<WorkerPool<Workspace>>,
        limits: DecodeLimits,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (offers, inbox) = mpsc::channel(config.max_waiting.get());
        let scorer = Arc::new(Scorer { candidate, decoders, limits, store, metrics });
        tokio::spawn(Arc::clone(&scorer).work(inbox));
        Self { offers, scorer }
    }

    pub fn model(&self) -> &ServedModel {
        &self.scorer.candidate.model
    }

    /// Queues an answered image, or counts it as skipped if the queue is full.
    pub fn offer(&self, answered: Answered, image: &Bytes, input: &Arc<ModelInput>, answered_by: &Serving) {
        let same_input = self.model().manifest().preprocess == answered_by.model.manifest().preprocess;
        let image = if same_input {
            OfferedImage::Input(Arc::clone(input))
        } else {
            OfferedImage::Upload(image.clone())
        };
        if self.offers.try_send(Offer { answered, image }).is_err() {
            self.scorer.metrics.shadowed(ShadowResult::Skipped);
        }
    }
}

struct Scorer {
    candidate: Serving,
    decoders: Arc<WorkerPool<Workspace>>,
    limits: DecodeLimits,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl Scorer {
    async fn work(self: Arc<Self>, mut inbox: mpsc::Receiver<Offer>) {
        while let Some(offer) = inbox.recv().await {
            let (id, answered) = (offer.answered.id, offer.answered.score);
            match self.score(offer).await {
                Ok(score) => {
                    let agrees = score.kind == answered.kind;
                    self.metrics.shadow_differed((score.probability - answered.probability).abs());
                    self.metrics.shadowed(if agrees { ShadowResult::Agrees } else { ShadowResult::Differs });
                }
                Err(error) => {
                    tracing::warn!(%id, cause = chain(&error), "candidate could not score the image");
                    self.metrics.shadowed(ShadowResult::Failed);
                }
            }
        }
    }

    async fn score(&self, offer: Offer) -> Result<Score, ShadowError> {
        let engine =
            self.candidate.engine.as_ref().map_err(|cause| ShadowError::Unavailable(cause.clone()))?;
        let input = match offer.image {
            OfferedImage::Input(input) => input,
            OfferedImage::Upload(image) => self.prepare(image).await?,
        };
        let inference =
            engine.run(input, Instant::now() + DEADLINE, false, std::future::pending(), None).await?;
        let (model, answered) = (&self.candidate.model, offer.answered);
        let logit = f64::from(inference.logit);
        let probability = model.variant().calibration.apply(logit);
        let position = model.bundle().reference().embedding.locate(&inference.embedding)?;
        let decision = model.decide(probability, position.ood_score, &answered.stated, &answered.assumed);
        let score = Score { probability: probability.value(), kind: decision.kind };
        let row = ShadowRow {
            prediction_id: answered.id,
            model_name: &model.manifest().name,
            model_version: &model.manifest().version,
            bundle_digest: model.bundle().digest(),
            variant: model.variant_name(),
            execution: engine.execution(),
            policy_digest: model.policy_digest(),
            logit,
            probability: score.probability,
            threshold: model.variant().policy.threshold,
            decision: score.kind.code(),
            answered_probability: answered.score.probability,
            answered_decision: answered.score.kind.code(),
        };
        self.store.writer.insert_shadow(&row).await?;
        Ok(score)
    }

    /// Decodes and preprocesses an upload as the candidate's bundle requires.
    async fn prepare(&self, image: Bytes) -> Result<Arc<ModelInput>, ShadowError> {
        let manifest = self.candidate.model.manifest();
        let (limits, acceptance, spec) = (self.limits, manifest.acceptance, manifest.preprocess);
        let load = Load::decoding(CLIENT, image.len(), cost::cost(&image, &limits));
        let job = move |workspace: &mut Workspace| -> Result<ModelInput, DecodeError> {
            let decoded = cxr::decode_with(workspace, &image, &limits, Cancel::NEVER)?;
            let accepted = AcceptedImage::accept(decoded, AcquisitionMetadata::default(), &acceptance)?;
            let input = preprocess_with(workspace, &accepted, &spec);
            workspace.reclaim(accepted);
            Ok(input)
        };
        Ok(Arc::new(self.decoders.queue(&load, job).done().await??))
    }
}
