//! The table `predictions`: one insert, one select. There is no update.

use crate::audit::row::{ENCODING_VERSION, Outcome, PredictionRow, StoredPrediction};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

const INSERT: &str = "
INSERT INTO predictions (
    id, request_id, received_at, actor, site, encoding_version, outcome, reason,
    input_digest, input_bytes, format, width, height, significant_bits, colour,
    age_years, view, modality, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates, cam, cam_width, cam_height, timings)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39)";

const FIND: &str = "
SELECT id, request_id, received_at, recorded_at, actor, site, encoding_version, outcome, reason,
    encode(input_digest, 'hex') AS input_digest, input_bytes, format, width, height, significant_bits, colour,
    age_years, view, modality, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, cam, cam_width, cam_height, timings
FROM predictions WHERE id = $1";

/// One statement in its own transaction: it has committed when this returns.
pub(super) async fn insert(connection: &mut PgConnection, row: &PredictionRow) -> Result<(), sqlx::Error> {
    let (image, statistics) = (row.observed.image.as_ref(), row.observed.statistics.as_ref());
    let (metadata, model) = (&row.observed.metadata, row.outcome.model());
    let scores = match &row.outcome {
        Outcome::Predicted { scores, .. } => Some(scores),
        Outcome::Rejected { .. } | Outcome::Expired { .. } | Outcome::Failed { .. } => None,
    };
    sqlx::query(INSERT)
        .bind(row.id)
        .bind(&row.request_id)
        .bind(row.received_at)
        .bind(&row.actor)
        .bind(&row.site)
        .bind(ENCODING_VERSION)
        .bind(row.outcome.code())
        .bind(row.outcome.reason())
        .bind(row.input_digest.as_slice())
        .bind(row.input_bytes)
        .bind(image.map(|image| image.format.name()))
        .bind(image.map(|image| image.width))
        .bind(image.map(|image| image.height))
        .bind(image.map(|image| i16::from(image.significant_bits)))
        .bind(image.map(|image| image.colour.name()))
        .bind(metadata.age_years)
        .bind(metadata.view.map(cxr::metadata::View::name))
        .bind(metadata.modality.map(cxr::metadata::Modality::name))
        .bind(statistics.map(|_| cxr::statistics::VERSION as i16))
        .bind(statistics.map(Json))
        .bind(model.map(|model| &model.name))
        .bind(model.map(|model| &model.version))
        .bind(model.map(|model| &model.bundle_digest))
        .bind(model.map(|model| &model.variant))
        .bind(model.map(|model| Json(&model.execution)))
        .bind(scores.map(|scores| &scores.policy_digest))
        .bind(scores.map(|scores| scores.logit))
        .bind(scores.map(|scores| scores.probability.value()))
        .bind(scores.map(|scores| scores.decision.confidence))
        .bind(scores.map(|scores| scores.threshold))
        .bind(scores.map(|scores| scores.decision.verdict.code()))
        .bind(scores.map(|scores| scores.decision.review_required))
        .bind(scores.map(|scores| scores.decision.reason.code()))
        .bind(scores.map(|scores| scores.ood_score))
        .bind(scores.map(|scores| &scores.embedding_coordinates))
        .bind(scores.map(|scores| &scores.cam))
        .bind(scores.map(|scores| scores.cam_size.0 as i16))
        .bind(scores.map(|scores| scores.cam_size.1 as i16))
        .bind(Json(&row.timings))
        .execute(connection)
        .await
        .map(|_| ())
}

pub(super) async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<StoredPrediction>, sqlx::Error> {
    sqlx::query_as(FIND).bind(id).fetch_optional(connection).await
}
