//! From the end of an examination to its committed row, with the metrics and the log lines that go with it.

use super::examine::{Examined, Finding, Known, Stop, milliseconds};
use super::{AnswerTimings, CancelReason, Case, Pipeline, PredictionError};
use crate::audit::repeats::Kept;
use crate::audit::row::{ModelIdentity, Outcome, PredictionRow, Scores};
use crate::audit::{AuditReceipt, RecordError};
use crate::infer::Engine;
use crate::model::ServedModel;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::DropCause;
use cxr::RejectReason;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// A failure is logged whether or not its row can be written and its client still waits.
pub(super) fn log_failure(case: &Case, stop: &Stop) {
    let request_id = &case.request_id;
    match stop {
        Stop::Failed(failure) => {
            tracing::error!(request_id, id = %case.id, cause = chain(failure), "image processing failed");
        }
        Stop::Dropped(why) => {
            tracing::info!(request_id, id = %case.id, cause = why.code(), "image dropped before inference");
        }
        // The panic hook has logged where; this line says whose image it was.
        Stop::Rejected(rejection) if rejection.reason == RejectReason::DecoderFailed => {
            tracing::error!(request_id, id = %case.id, cause = rejection.found, "decoder failed; image rejected");
        }
        Stop::Rejected(_) => {}
    }
}

impl Pipeline {
    pub(super) fn row(
        &self,
        case: &Case,
        known: &Known,
        examined: &Result<Examined, Stop>,
        subject: Option<[u8; 32]>,
        engine: &Engine,
    ) -> PredictionRow {
        let model = &case.serving.model;
        let outcome = match examined {
            Ok(Examined { finding, .. }) => Outcome::Predicted {
                model: identity(model, &finding.inference.execution),
                scores: scores(model, finding),
            },
            Err(Stop::Rejected(rejection)) => Outcome::Rejected { reason: rejection.reason },
            Err(Stop::Dropped(why)) => {
                Outcome::Expired { model: identity(model, engine.execution()), reason: why.code() }
            }
            Err(Stop::Failed(failure)) => {
                Outcome::Failed { model: identity(model, engine.execution()), reason: failure.code() }
            }
        };
        PredictionRow {
            id: case.id,
            request_id: case.request_id.clone(),
            received_at: case.received_at,
            actor: case.actor.clone(),
            site: self.site.clone(),
            subject,
            input_digest: case.input_digest,
            input_bytes: case.image.len() as i64,
            observed: known.observed.clone(),
            outcome,
            timings: known.timings,
        }
    }

    /// Commits the row. How long that took is told in the answer; it cannot stand in the row.
    pub(super) async fn record(
        &self,
        case: &Case,
        row: PredictionRow,
        kept: Option<Kept>,
    ) -> Result<(AuditReceipt, AnswerTimings), PredictionError> {
        let started = Instant::now();
        let recorded = self.audit.record(row, kept, case.admission.in_flight()).await;
        let receipt = recorded.inspect_err(|error| {
            if matches!(error, RecordError::Repeated) {
                return;
            }
            let (request_id, cause) = (&case.request_id, chain(error));
            tracing::error!(request_id, id = %case.id, cause, "audit row not committed; answer withheld");
        })?;
        let row = receipt.row();
        let timings = AnswerTimings {
            phases: row.timings,
            audit: milliseconds(started.elapsed()),
            total: milliseconds(case.started.elapsed()),
        };
        timings.by_phase().for_each(|(phase, took)| self.metrics.phase(phase, took));
        match &row.outcome {
            Outcome::Predicted { scores, .. } => self.metrics.predicted(scores.decision.verdict.code()),
            Outcome::Rejected { reason } => self.metrics.rejected(*reason),
            Outcome::Expired { reason, .. } => {
                let late = *reason == CancelReason::Expired.code();
                self.metrics.dropped(if late { DropCause::Expired } else { DropCause::Abandoned });
            }
            Outcome::Failed { .. } => {}
        }
        Ok((receipt, timings))
    }
}

fn identity(model: &ServedModel, execution: &Arc<Value>) -> ModelIdentity {
    ModelIdentity {
        name: model.manifest().name.clone(),
        version: model.manifest().version.clone(),
        bundle_digest: model.bundle().digest().to_owned(),
        variant: model.variant_name().to_owned(),
        execution: Arc::clone(execution),
    }
}

fn scores(model: &ServedModel, finding: &Finding) -> Scores {
    Scores {
        policy_digest: model.policy_digest().to_owned(),
        logit: f64::from(finding.inference.logit),
        probability: finding.probability,
        threshold: model.variant().policy.threshold,
        decision: finding.decision,
        assumed: finding.assumed.clone(),
        ood_score: finding.position.ood_score,
        embedding_coordinates: finding.position.coordinates.clone(),
        cam: finding.inference.cam.clone(),
        cam_size: finding.inference.cam_size,
        heatmap_scale: model.heatmap_scale(),
    }
}
