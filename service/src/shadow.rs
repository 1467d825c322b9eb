//! The candidate: it scores the inputs that were answered, is logged and compared, and never answers.
//!
//! It works in the background, one image at a time, on a session that gives way to those that answer; images beyond what
//! may wait for it are not scored, and counted.

use crate::config::model::ShadowConfig;
use crate::crew::{Crew, Load};
use crate::infer::InferenceError;
use crate::model::ServedModel;
use crate::serving::Serving;
use crate::store::{Store, StoreError};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::{Metrics, ShadowResult};
use crate::threads::JobLost;
use bytes::Bytes;
use cxr::decide::Verdict;
use cxr::decode::cost;
use cxr::embedding::EmbeddingMismatch;
use cxr::intended_use::SitePatients;
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::preprocess_with;
use cxr::{AcceptedImage, Cancel, DecodeError, DecodeLimits, ModelInput, Workspace};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Nobody waits for it, but a stuck device must not hold the queue for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// Its own turns at the decoding threads. Subjects of tokens are not empty.
const CLIENT: &str = "";

/// What is compared of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Calibrated probability of the positive class.
    pub probability: f64,
    /// What was decided.
    pub verdict: Verdict,
}

/// A candidate's score of one image beside the answer's, to be written.
pub struct ShadowRow {
    /// The answered image.
    pub prediction_id: Uuid,
    /// The candidate.
    pub candidate: Arc<Serving>,
    /// Its execution fingerprint.
    pub execution: Value,
    /// Its raw output.
    pub logit: f64,
    /// Its score.
    pub score: Score,
    /// The answer's.
    pub answered: Score,
}

/// An answer, and what is known of its image.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its row.
    pub id: Uuid,
    /// What it said.
    pub score: Score,
    /// What the caller or the file stated.
    pub stated: AcquisitionMetadata,
    /// What the site states of its patients in place of that.
    pub assumed: SitePatients,
}

/// An image that was answered.
struct Offer {
    answered: Answered,
    image: Bytes,
    input: Arc<ModelInput>,
    /// Whether the candidate takes the same input.
    same_input: bool,
}

/// Why an image has no score of the candidate.
#[derive(Debug, thiserror::Error)]
enum ShadowError {
    #[error("the candidate does not execute: {0}")]
    Unavailable(String),
    #[error("the image cannot be decoded a second time")]
    Lost(#[from] JobLost),
    #[error("the candidate rejects the image")]
    Refused(#[from] DecodeError),
    #[error("the candidate does not run")]
    Inference(#[from] InferenceError),
    #[error("the candidate's embedding cannot be placed")]
    Embedding(#[from] EmbeddingMismatch),
    #[error("its row is not committed")]
    Store(#[from] StoreError),
}

/// Takes images for the candidate.
pub struct Shadow {
    offers: mpsc::Sender<Offer>,
    candidate: Arc<Serving>,
    metrics: Arc<Metrics>,
}

impl Shadow {
    /// Starts the task that scores. Call inside a Tokio runtime.
    pub fn start(
        config: &ShadowConfig,
        candidate: Serving,
        decoders: Arc<Crew<Workspace>>,
        limits: DecodeLimits,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (offers, inbox) = mpsc::channel(config.max_waiting.get());
        let candidate = Arc::new(candidate);
        let scorer = Scorer {
            candidate: Arc::clone(&candidate),
            decoders,
            limits,
            store,
            metrics: Arc::clone(&metrics),
        };
        tokio::spawn(scorer.work(inbox));
        Self { offers, candidate, metrics }
    }

    /// The candidate.
    pub fn model(&self) -> &ServedModel {
        &self.candidate.model
    }

    /// Leaves an answered image for the candidate. Never waits.
    pub fn offer(&self, answered: Answered, image: &Bytes, input: &Arc<ModelInput>, answered_by: &Serving) {
        let same_input =
            self.candidate.model.manifest().preprocess == answered_by.model.manifest().preprocess;
        let image = if same_input { Bytes::new() } else { image.clone() };
        let offer = Offer { answered, image, input: Arc::clone(input), same_input };
        if self.offers.try_send(offer).is_err() {
            self.metrics.shadowed(ShadowResult::Skipped);
        }
    }
}

struct Scorer {
    candidate: Arc<Serving>,
    decoders: Arc<Crew<Workspace>>,
    limits: DecodeLimits,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

impl Scorer {
    async fn work(self, mut inbox: mpsc::Receiver<Offer>) {
        while let Some(offer) = inbox.recv().await {
            let (id, answered) = (offer.answered.id, offer.answered.score);
            match self.score(offer).await {
                Ok(score) => {
                    let agrees = score.verdict == answered.verdict;
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
        let input = if offer.same_input { offer.input } else { self.prepare(offer.image).await? };
        let inference = engine.run(input, Instant::now() + PATIENCE, false, std::future::pending()).await?;
        let (model, answered) = (&self.candidate.model, offer.answered);
        let logit = f64::from(inference.logit);
        let probability = model.variant().calibration.apply(logit);
        let position = model.bundle().reference().embedding.locate(&inference.embedding)?;
        let decision = model.decide(probability, position.ood_score, &answered.stated, &answered.assumed);
        let score = Score { probability: probability.value(), verdict: decision.verdict };
        let row = ShadowRow {
            prediction_id: answered.id,
            candidate: Arc::clone(&self.candidate),
            execution: Value::clone(engine.execution()),
            logit,
            score,
            answered: answered.score,
        };
        self.store.insert_shadow(&row).await?;
        Ok(score)
    }

    /// The candidate's own way from upload to input.
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
