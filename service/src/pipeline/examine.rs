//! The steps of an examination, each a function of what the one before it made.

use super::cancellation::CancelReason;
use super::explain::{Explanation, Map};
use super::observed::{ImageFacts, Observed};
use super::{Case, Pipeline, Stated};
use crate::infer::{Engine, Inference, InferenceError};
use crate::record::row::Timings;
use crate::shadow::Score;
use crate::threads::JobLost;
use cxr::embedding::{EmbeddingMismatch, EmbeddingPosition};
use cxr::intended_use::SitePatients;
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::preprocess_with;
use cxr::{
    AcceptancePolicy, AcceptedImage, Cancel, Decision, DecodeError, DecodeLimits, ModelInput, PreprocessSpec,
    Probability, Rejection, Workspace,
};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What the steps found out so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Known {
    pub(super) observed: Observed,
    pub(super) timings: Timings,
}

impl Known {
    /// What is known before anything was looked at.
    pub(super) fn admitted(case: &Case) -> Self {
        let timings = Timings { admission: Some(milliseconds(case.admitted_after)), ..Timings::default() };
        Self { timings, ..Self::default() }
    }
}

/// A finding with the input that it was found on.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) input: Arc<ModelInput>,
    pub(super) finding: Finding,
}

/// The end of an examination that came to a decision.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) inference: Inference,
    pub(super) position: EmbeddingPosition,
    pub(super) probability: Probability,
    pub(super) decision: Decision,
    /// What of the site's statement the decision relies on.
    pub(super) assumed: SitePatients,
    pub(super) explanation: Explanation,
}

/// The end of one that did not.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The image is refused: the sender can do something.
    #[error("the image is refused")]
    Rejected(#[from] Rejection),
    /// Nobody waits for it any more, and the model has not run.
    #[error("the examination was dropped")]
    Dropped(#[from] CancelReason),
    /// Something here broke.
    #[error("the examination failed")]
    Failed(#[from] Failure),
}

impl From<InferenceError> for Stop {
    fn from(error: InferenceError) -> Self {
        match error {
            InferenceError::Expired => Self::Dropped(CancelReason::Expired),
            InferenceError::Cancelled => Self::Dropped(CancelReason::Abandoned),
            broken => Self::Failed(Failure::Infer(broken)),
        }
    }
}

impl Finding {
    /// What a candidate's score is compared with.
    pub(super) fn score(&self) -> Score {
        Score { probability: self.probability.value(), verdict: self.decision.verdict }
    }
}

/// What broke.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Decoding or preprocessing panicked.
    #[error("decoding failed")]
    Decode(#[source] JobLost),
    /// The model did not run.
    #[error("inference failed")]
    Infer(#[source] InferenceError),
    /// The model's embedding does not fit the reference.
    #[error("the embedding cannot be placed")]
    Embedding(#[from] EmbeddingMismatch),
    /// Drawing the heatmap panicked.
    #[error("drawing the heatmap failed")]
    Heatmap(#[source] JobLost),
    /// Anything else panicked.
    #[error("the examination panicked")]
    Panicked,
}

impl Failure {
    /// Every code.
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
    /// Decodes, accepts and preprocesses, on a decoding thread.
    pub(super) async fn prepare(&self, case: &Case, known: &mut Known) -> Result<ModelInput, Stop> {
        let (image, stated, limits) = (case.image.clone(), case.stated.clone(), self.limits);
        let manifest = case.serving.model.manifest();
        let (acceptance, spec) = (manifest.acceptance, manifest.preprocess);
        let load = self.load(case).await?;
        let (cancellation, mut found) = (case.cancellation.clone(), known.clone());
        let closed = case.admission.closed();
        let given_up = move || match cancellation.reason() {
            None if closed.load(Ordering::Relaxed) => Some(CancelReason::Expired),
            ended => ended,
        };
        let job = move |workspace: &mut Workspace| {
            let input = given_up().map_or(Ok(()), |why| Err(why.into())).and_then(|()| {
                let accepted = read(workspace, &image, &stated, &limits, &acceptance, &given_up, &mut found)?;
                Ok(reduce(workspace, accepted, &spec, &mut found))
            });
            (found, input)
        };
        let mut decoding = self.decoders.queue(&load, job);
        let decoded = tokio::select! {
            decoded = decoding.done() => decoded,
            why = case.cancellation.clone().cancelled() => {
                if decoding.cancel() {
                    return Err(why.into());
                }
                // It has begun, and ends by itself.
                decoding.done().await
            }
        };
        let (found, input) = decoded.map_err(Failure::Decode)?;
        *known = found;
        input
    }

    /// Runs the model.
    pub(super) async fn infer(
        engine: &Engine,
        input: &Arc<ModelInput>,
        case: &Case,
        known: &mut Known,
    ) -> Result<Inference, Stop> {
        let gone = case.cancellation.clone().disconnected();
        let (deadline, only) = (case.cancellation.deadline(), case.admission.in_flight() == 1);
        let inference = engine.run(Arc::clone(input), deadline, only, gone).await?;
        known.timings.queue = Some(milliseconds(inference.queued));
        known.timings.infer = Some(milliseconds(inference.ran));
        Ok(inference)
    }
}

impl Case {
    /// Places the embedding among those of the training data.
    pub(super) fn locate(&self, inference: &Inference) -> Result<EmbeddingPosition, Failure> {
        Ok(self.serving.model.bundle().reference().embedding.locate(&inference.embedding)?)
    }

    /// Logit to probability.
    pub(super) fn calibrate(&self, inference: &Inference) -> Probability {
        self.serving.model.variant().calibration.apply(f64::from(inference.logit))
    }

    /// Probability to decision.
    pub(super) fn decide(
        &self,
        probability: Probability,
        position: &EmbeddingPosition,
        known: &Known,
        assumed: &SitePatients,
    ) -> Decision {
        self.serving.model.decide(probability, position.ood_score, &known.observed.metadata, assumed)
    }

    /// The map, with what decides whether it is drawn.
    pub(super) fn map(&self, inference: &Inference, decision: &Decision) -> Map {
        Map {
            cam: inference.cam.clone(),
            size: inference.cam_size,
            scale: self.serving.model.heatmap_scale(),
            verdict: decision.verdict,
        }
    }
}

/// Whatever breaks: an admitted image has its row. The panic hook has logged where.
pub(super) fn caught<T>(
    examination: impl Future<Output = Result<T, Stop>>,
) -> impl Future<Output = Result<T, Stop>> {
    let examined = AssertUnwindSafe(examination).catch_unwind();
    examined.map(|examined| examined.unwrap_or(Err(Stop::Failed(Failure::Panicked))))
}

fn read(
    workspace: &mut Workspace,
    bytes: &[u8],
    stated: &Stated,
    limits: &DecodeLimits,
    acceptance: &AcceptancePolicy,
    given_up: &dyn Fn() -> Option<CancelReason>,
    known: &mut Known,
) -> Result<AcceptedImage, Stop> {
    let started = Instant::now();
    let accepted = (|| {
        let metadata = AcquisitionMetadata::parse(
            stated.age.as_deref(),
            stated.view.as_deref(),
            stated.modality.as_deref(),
        )?;
        known.observed.metadata = metadata;
        let unwanted = || given_up().is_some();
        let decoded = cxr::decode_with(workspace, bytes, limits, Cancel::when(&unwanted));
        let image = match decoded {
            Ok(image) => image,
            Err(DecodeError::Rejected(rejection)) => return Err(rejection.into()),
            Err(DecodeError::Cancelled(_)) => {
                return Err(given_up().unwrap_or(CancelReason::Expired).into());
            }
        };
        known.observed.image = Some(ImageFacts::from(&image));
        known.observed.metadata = metadata.or(*image.metadata());
        Ok(AcceptedImage::accept(image, metadata, acceptance)?)
    })();
    known.timings.decode = Some(milliseconds(started.elapsed()));
    accepted
}

fn reduce(
    workspace: &mut Workspace,
    accepted: AcceptedImage,
    spec: &PreprocessSpec,
    known: &mut Known,
) -> ModelInput {
    let started = Instant::now();
    let input = preprocess_with(workspace, &accepted, spec);
    workspace.reclaim(accepted);
    known.observed.statistics = Some(*input.statistics());
    known.timings.preprocess = Some(milliseconds(started.elapsed()));
    input
}

/// Milliseconds with microseconds after the point.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_has_its_row() {
        let stopped = caught(async { panic!("a step") }).await.map(|()| "examined");
        assert!(matches!(stopped, Err(Stop::Failed(Failure::Panicked))), "{stopped:?}");
        assert_eq!(caught(async { Ok(1) }).await.unwrap(), 1);
    }
}
