//! Builds and commits the audit row of a case, with its metrics and log lines.

use super::examine::{Examination, Progress, Stop, milliseconds};
use super::{AnswerTimings, CancelReason, Case, Pipeline, PredictionError, spans};
use crate::audit::{AuditReceipt, RecordError};
use crate::infer::Engine;
use crate::model::ServedModel;
use crate::record::columns::ENCODING_VERSION;
use crate::record::{AuditRow, Hex};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::DropCause;
use cxr::RejectReason;
use cxr::metadata::{Modality, View};
use serde::Serialize;
use serde_json::Value;
use std::time::Instant;

/// Logs a failure, even if its row cannot be committed or its client has disconnected.
pub(super) fn log_failure(case: &Case, stop: &Stop) {
    let request_id = &case.submission.request_id;
    match stop {
        Stop::Failed(failure) => {
            tracing::error!(request_id, id = %case.id, cause = chain(failure), "image processing failed");
        }
        Stop::Cancelled(reason) => {
            tracing::info!(request_id, id = %case.id, cause = reason.code(), "image dropped before inference");
        }
        // The panic hook has logged where; this line tells which request it was.
        Stop::Rejected(rejection) if rejection.reason == RejectReason::DecoderFailed => {
            tracing::error!(request_id, id = %case.id, cause = rejection.found, "decoder failed; image rejected");
        }
        Stop::Rejected(_) => {}
    }
}

impl Pipeline {
    /// A prediction has a model and scores, a rejected image neither, and a cancelled or failed one the model
    /// that was to run.
    pub(super) fn row(
        &self,
        case: &Case,
        progress: &Progress,
        outcome: &Result<Examination, Stop>,
        subject: Option<[u8; 32]>,
        engine: &Engine,
    ) -> AuditRow {
        let scores = outcome.as_ref().ok();
        let (outcome, reason, execution) = match outcome {
            Ok(prediction) => ("predicted", None, Some(&prediction.inference.execution)),
            Err(Stop::Rejected(rejection)) => ("rejected", Some(rejection.reason.code()), None),
            Err(Stop::Cancelled(reason)) => ("expired", Some(reason.code()), Some(engine.execution())),
            Err(Stop::Failed(failure)) => ("failed", Some(failure.code()), Some(engine.execution())),
        };
        let (image, metadata) = (progress.observed.image.as_ref(), &progress.observed.metadata);
        let statistics = progress.observed.statistics.as_ref();
        let model = execution.map(|_| &case.serving.model);
        let scored_by = scores.map(|_| &case.serving.model);
        let assumed = scores.map(|scores| &scores.assumed).filter(|assumed| !assumed.is_empty());
        let heatmap = scored_by.and_then(ServedModel::heatmap_scale);
        AuditRow {
            id: case.id,
            request_id: case.submission.request_id.clone(),
            received_at: case.submission.received_at,
            recorded_at: None,
            actor: case.submission.actor.clone(),
            site: self.site.clone(),
            subject: subject.map(|subject| Hex(subject.to_vec())),
            encoding_version: ENCODING_VERSION,
            outcome: outcome.to_owned(),
            reason: reason.map(ToOwned::to_owned),
            input_digest: Hex(case.input_digest.to_vec()),
            input_bytes: case.submission.image.len() as i64,
            format: image.map(|image| image.format.name().to_owned()),
            width: image.map(|image| image.width),
            height: image.map(|image| image.height),
            significant_bits: image.map(|image| image.significant_bits.into()),
            colour: image.map(|image| image.colour.name().to_owned()),
            orientation: image.map(|image| image.orientation.tag().into()),
            age_years: metadata.age_years,
            view: metadata.view.map(View::name).map(ToOwned::to_owned),
            modality: metadata.modality.map(Modality::name).map(ToOwned::to_owned),
            assumed: assumed.map(json),
            statistics_version: statistics.map(|_| cxr::statistics::VERSION as i16),
            image_statistics: statistics.map(json),
            model_name: model.map(|model| model.manifest().name.clone()),
            model_version: model.map(|model| model.manifest().version.clone()),
            bundle_digest: model.map(|model| model.bundle().digest().to_owned()),
            variant: model.map(|model| model.variant_name().to_owned()),
            execution: execution.map(|execution| Value::clone(execution)),
            policy_digest: scored_by.map(|model| model.policy_digest().to_owned()),
            logit: scores.map(|scores| f64::from(scores.inference.logit)),
            probability: scores.map(|scores| scores.probability.value()),
            confidence: scores.map(|scores| scores.decision.confidence),
            threshold: scored_by.map(|model| model.variant().policy.threshold),
            decision: scores.map(|scores| scores.decision.kind.code().to_owned()),
            review_required: scores.map(|scores| scores.decision.review_required),
            decision_reason: scores.map(|scores| scores.decision.reason.code().to_owned()),
            ood_score: scores.map(|scores| scores.position.ood_score),
            embedding_coordinates: scores.map(|scores| scores.position.coordinates.clone()),
            cam: scores.map(|scores| scores.inference.cam.clone()),
            cam_width: scores.map(|scores| scores.inference.cam_size.0 as i16),
            cam_height: scores.map(|scores| scores.inference.cam_size.1 as i16),
            heatmap_low: heatmap.map(|scale| scale.low),
            heatmap_high: heatmap.map(|scale| scale.high),
            timings: json(&progress.timings),
        }
    }

    /// Commits the row. Its duration is in the answer; the row cannot contain it.
    pub(super) async fn record(
        &self,
        case: &Case,
        progress: &Progress,
        outcome: &Result<Examination, Stop>,
        row: AuditRow,
    ) -> Result<(AuditReceipt, AnswerTimings), PredictionError> {
        let started = Instant::now();
        let first_answer = Self::first_answer(case, outcome);
        let recorded = self.audit.record(row, first_answer, case.submission.admission.in_flight()).await;
        let audit = milliseconds(started.elapsed());
        let failed = recorded.as_ref().is_err_and(|error| !matches!(error, RecordError::Repeated));
        spans::export(case, progress, (started, audit), failed.then_some("audit_unavailable"));
        let receipt = recorded.inspect_err(|error| {
            if matches!(error, RecordError::Repeated) {
                return;
            }
            let (request_id, cause) = (&case.submission.request_id, chain(error));
            tracing::error!(request_id, id = %case.id, cause, "audit row not committed; answer withheld");
        })?;
        let timings = AnswerTimings {
            phases: progress.timings,
            audit,
            total: milliseconds(case.submission.started.elapsed()),
        };
        let exemplar = || case.submission.trace.exemplar();
        timings.by_phase().for_each(|(phase, took)| self.metrics.phase(phase, took, exemplar()));
        match outcome {
            Ok(prediction) => self.metrics.predicted(prediction.decision.kind.code()),
            Err(Stop::Rejected(rejection)) => self.metrics.rejected(rejection.reason),
            Err(Stop::Cancelled(CancelReason::Expired)) => self.metrics.dropped(DropCause::Expired),
            Err(Stop::Cancelled(CancelReason::Abandoned)) => self.metrics.dropped(DropCause::Abandoned),
            Err(Stop::Failed(_)) => {}
        }
        Ok((receipt, timings))
    }
}

/// Cannot fail: the values of a row are numbers and names.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
