//! The steps of an examination: decode and preprocess, run the model, calibrate and decide.

use super::cancellation::CancelReason;
use super::explain::{ActivationMap, Explanation};
use super::observed::{ImageFacts, Observed};
use super::{Case, Pipeline, Stated, Submission};
use crate::infer::{Engine, Inference, InferenceError};
use crate::record::sealed::PhaseTimings;
use crate::shadow::Score;
use crate::threads::JobLost;
use crate::worker_pool::Load;
use cxr::decide::DecisionKind;
use cxr::decode::{cost, sniff};
use cxr::embedding::{EmbeddingMismatch, EmbeddingPosition};
use cxr::image::Format;
use cxr::intended_use::SitePatients;
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::preprocess_with;
use cxr::{
    AcceptancePolicy, AcceptedImage, Cancel, Decision, DecodeError, DecodeLimits, ModelInput, PreprocessSpec,
    Probability, RejectReason, Rejection, Workspace,
};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What the steps have found so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Progress {
    pub(super) observed: Observed,
    pub(super) timings: PhaseTimings,
}

impl Progress {
    pub(super) fn admitted(case: &Case) -> Self {
        let timings =
            PhaseTimings { admission: Some(milliseconds(case.admitted_after)), ..PhaseTimings::default() };
        Self { timings, ..Self::default() }
    }
}

/// A complete examination: what each step gave for one image.
#[derive(Debug)]
pub(crate) struct Examination {
    pub(crate) input: Arc<ModelInput>,
    pub(crate) inference: Inference,
    pub(crate) position: EmbeddingPosition,
    pub(crate) probability: Probability,
    pub(crate) decision: Decision,
    /// What the model decides, whether or not it is out of service: a candidate is compared with it.
    pub(crate) models_kind: DecisionKind,
    /// The site-wide patient data that the decision relies on.
    pub(crate) assumed: SitePatients,
    pub(crate) explanation: Explanation,
}

/// Why an examination has no prediction.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The client can correct the image.
    #[error("the image was rejected")]
    Rejected(#[from] Rejection),
    /// The model has not run.
    #[error("the examination was cancelled")]
    Cancelled(#[from] CancelReason),
    /// The cause is in the service.
    #[error("the examination failed")]
    Failed(#[from] Failure),
}

impl From<InferenceError> for Stop {
    fn from(error: InferenceError) -> Self {
        match error {
            InferenceError::Expired => Self::Cancelled(CancelReason::Expired),
            InferenceError::Cancelled => Self::Cancelled(CancelReason::Abandoned),
            failed => Self::Failed(Failure::Infer(failed)),
        }
    }
}

impl Examination {
    pub(super) fn score(&self) -> Score {
        Score { probability: self.probability.value(), kind: self.models_kind }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("decoding or preprocessing failed")]
    Decode(#[source] JobLost),
    #[error("inference failed")]
    Infer(#[source] InferenceError),
    #[error("the embedding does not fit the bundle's reference")]
    Embedding(#[from] EmbeddingMismatch),
    #[error("drawing the heatmap failed")]
    Heatmap(#[source] JobLost),
    #[error("the examination panicked")]
    Panicked,
}

impl Failure {
    pub const CODES: [&'static str; 5] =
        ["decode_failed", "infer_failed", "embedding_mismatch", "heatmap_failed", "examination_failed"];

    /// The code in the column `reason`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => "decode_failed",
            Self::Infer(_) => "infer_failed",
            Self::Embedding(_) => "embedding_mismatch",
            Self::Heatmap(_) => "heatmap_failed",
            Self::Panicked => "examination_failed",
        }
    }
}

impl Pipeline {
    /// Decodes, accepts and preprocesses the image in the worker pool.
    pub(super) async fn prepare(&self, case: &Case, progress: &mut Progress) -> Result<ModelInput, Stop> {
        let (image, stated, limits) =
            (case.submission.image.clone(), case.submission.stated.clone(), self.limits);
        let manifest = case.serving.model.manifest();
        let (acceptance, spec) = (manifest.acceptance, manifest.preprocess);
        let load = self.load(case).await?;
        let (cancellation, mut found) = (case.submission.cancellation.clone(), progress.clone());
        let decoding_stopped = case.submission.admission.decoding_stopped();
        let cancelled = move || match cancellation.reason() {
            None if decoding_stopped.load(Ordering::Relaxed) => Some(CancelReason::Expired),
            reason => reason,
        };
        let job = move |workspace: &mut Workspace| {
            let input = cancelled().map_or(Ok(()), |reason| Err(reason.into())).and_then(|()| {
                let accepted =
                    decode(workspace, &image, &stated, &limits, &acceptance, &cancelled, &mut found)?;
                Ok(preprocess(workspace, accepted, &spec, &mut found))
            });
            (found, input)
        };
        let mut decoding = self.decoders.queue(&load, job);
        let decoded = tokio::select! {
            decoded = decoding.done() => decoded,
            reason = case.submission.cancellation.clone().cancelled() => {
                if decoding.cancel() {
                    return Err(reason.into());
                }
                // It has begun, and checks for cancellation itself.
                decoding.done().await
            }
        };
        let (found, input) = decoded.map_err(Failure::Decode)?;
        *progress = found;
        input
    }

    /// Rejects an image that would not fit into the worker pool's memory.
    async fn load(&self, case: &Case) -> Result<Load, Stop> {
        let (bytes, max) = (self.bytes_to_decode(case).await?, self.decoders.memory());
        if bytes > max {
            let (needed, available) = (bytes >> 20, max >> 20);
            return Err(Stop::Rejected(Rejection::new(
                RejectReason::TooManyPixels,
                format!("decoding needs up to {needed} MiB, but this service has {available} MiB for it"),
                "send the image at a lower resolution, or ask the operator for more memory",
            )));
        }
        Ok(Load::decoding(&case.submission.actor, case.submission.image.len(), bytes))
    }

    async fn bytes_to_decode(&self, case: &Case) -> Result<u64, Stop> {
        let (image, limits) = (case.submission.image.clone(), self.limits);
        if image.len() > limits.max_bytes {
            return Ok(0);
        }
        // A TIFF directory can be as long as the file; the other headers take microseconds.
        if sniff(&image) == Some(Format::Tiff) {
            let found = self.decoders.run(move |_| cost::cost(&image, &limits)).await;
            return Ok(found.map_err(Failure::Decode)?);
        }
        Ok(cost::cost(&image, &limits))
    }
}

impl Case {
    pub(super) async fn infer(
        &self,
        engine: &Engine,
        input: &Arc<ModelInput>,
        progress: &mut Progress,
    ) -> Result<Inference, Stop> {
        let Submission { cancellation, admission, .. } = &self.submission;
        let disconnected = cancellation.clone().disconnected();
        let (deadline, only) = (cancellation.deadline(), admission.in_flight() == 1);
        let inference = engine.run(Arc::clone(input), deadline, only, disconnected).await?;
        progress.timings.queue = Some(milliseconds(inference.queued));
        progress.timings.infer = Some(milliseconds(inference.ran));
        Ok(inference)
    }

    /// Locates the embedding among those of the training data.
    pub(super) fn locate(&self, inference: &Inference) -> Result<EmbeddingPosition, Failure> {
        Ok(self.serving.model.bundle().reference().embedding.locate(&inference.embedding)?)
    }

    pub(super) fn calibrate(&self, inference: &Inference) -> Probability {
        self.serving.model.variant().calibration.apply(f64::from(inference.logit))
    }

    pub(super) fn decide(
        &self,
        probability: Probability,
        position: &EmbeddingPosition,
        progress: &Progress,
        assumed: &SitePatients,
    ) -> Decision {
        self.serving.model.decide(probability, position.ood_score, &progress.observed.metadata, assumed)
    }

    pub(super) fn activation_map(&self, inference: &Inference, decision: &Decision) -> ActivationMap {
        ActivationMap {
            cam: inference.cam.clone(),
            size: inference.cam_size,
            scale: self.serving.model.heatmap_scale(),
            kind: decision.kind,
        }
    }
}

/// Turns a panic, which the panic hook has logged, into a failure: an admitted image must get its row.
pub(super) fn catch_panic<T>(
    examination: impl Future<Output = Result<T, Stop>>,
) -> impl Future<Output = Result<T, Stop>> {
    let caught = AssertUnwindSafe(examination).catch_unwind();
    caught.map(|caught| caught.unwrap_or(Err(Stop::Failed(Failure::Panicked))))
}

fn decode(
    workspace: &mut Workspace,
    bytes: &[u8],
    stated: &Stated,
    limits: &DecodeLimits,
    acceptance: &AcceptancePolicy,
    cancelled: &dyn Fn() -> Option<CancelReason>,
    progress: &mut Progress,
) -> Result<AcceptedImage, Stop> {
    let started = Instant::now();
    let accepted = (|| {
        let metadata = AcquisitionMetadata::parse(
            stated.age.as_deref(),
            stated.view.as_deref(),
            stated.modality.as_deref(),
        )?;
        progress.observed.metadata = metadata;
        let is_cancelled = || cancelled().is_some();
        let decoded = cxr::decode_with(workspace, bytes, limits, Cancel::when(&is_cancelled));
        let image = decoded.map_err(|error| match error {
            DecodeError::Rejected(rejection) => Stop::Rejected(rejection),
            DecodeError::Cancelled(_) => Stop::Cancelled(cancelled().unwrap_or(CancelReason::Expired)),
        })?;
        progress.observed.image = Some(ImageFacts::from(&image));
        progress.observed.metadata = metadata.or(*image.metadata());
        Ok(AcceptedImage::accept(image, metadata, acceptance)?)
    })();
    progress.timings.decode = Some(milliseconds(started.elapsed()));
    accepted
}

fn preprocess(
    workspace: &mut Workspace,
    accepted: AcceptedImage,
    spec: &PreprocessSpec,
    progress: &mut Progress,
) -> ModelInput {
    let started = Instant::now();
    let input = preprocess_with(workspace, &accepted, spec);
    workspace.reclaim(accepted);
    progress.observed.statistics = Some(*input.statistics());
    progress.timings.preprocess = Some(milliseconds(started.elapsed()));
    input
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let stopped = catch_panic(async { panic!("a step") }).await.map(|()| "examined");
        assert!(matches!(stopped, Err(Stop::Failed(Failure::Panicked))), "{stopped:?}");
        assert_eq!(catch_panic(async { Ok(1) }).await.unwrap(), 1);
    }
}
