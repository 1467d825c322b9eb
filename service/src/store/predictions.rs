//! The table `predictions`: one insert, of one row or several, and one select. There is no update.

use crate::audit::row::{ENCODING_VERSION, Outcome, PredictionRow, StoredPrediction};
use sqlx::query_builder::{QueryBuilder, Separated};
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres};
use uuid::Uuid;

const INSERT: &str = "
INSERT INTO predictions (
    id, request_id, received_at, actor, site, encoding_version, outcome, reason,
    input_digest, input_bytes, format, width, height, significant_bits, colour,
    age_years, view, modality, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, embedding_coordinates, cam, cam_width, cam_height, timings) ";

const FIND: &str = "
SELECT id, request_id, received_at, recorded_at, actor, site, encoding_version, outcome, reason,
    encode(input_digest, 'hex') AS input_digest, input_bytes, format, width, height, significant_bits, colour,
    age_years, view, modality, statistics_version, image_statistics,
    model_name, model_version, bundle_digest, variant, execution,
    policy_digest, logit, probability, confidence, threshold, decision, review_required, decision_reason,
    ood_score, cam, cam_width, cam_height, timings
FROM predictions WHERE id = $1";

/// One statement in its own transaction: all rows have committed when this returns.
pub(super) async fn insert(
    connection: &mut PgConnection,
    rows: &[&PredictionRow],
) -> Result<(), sqlx::Error> {
    // One text for each number of rows, which the connection keeps prepared.
    let mut statement = QueryBuilder::<Postgres>::new(INSERT);
    statement.push_values(rows, |values, row| push(values, row));
    statement.build().execute(connection).await.map(|_| ())
}

/// The values of a row, in the order of [`INSERT`].
fn push(mut values: Separated<'_, Postgres, &'static str>, row: &PredictionRow) {
    let (image, statistics) = (row.observed.image.as_ref(), row.observed.statistics.as_ref());
    let (metadata, model) = (&row.observed.metadata, row.outcome.model());
    let scores = match &row.outcome {
        Outcome::Predicted { scores, .. } => Some(scores),
        Outcome::Rejected { .. } | Outcome::Expired { .. } | Outcome::Failed { .. } => None,
    };
    values
        .push_bind(row.id)
        .push_bind(&row.request_id)
        .push_bind(row.received_at)
        .push_bind(&row.actor)
        .push_bind(&row.site)
        .push_bind(ENCODING_VERSION)
        .push_bind(row.outcome.code())
        .push_bind(row.outcome.reason())
        .push_bind(row.input_digest.as_slice())
        .push_bind(row.input_bytes)
        .push_bind(image.map(|image| image.format.name()))
        .push_bind(image.map(|image| image.width))
        .push_bind(image.map(|image| image.height))
        .push_bind(image.map(|image| i16::from(image.significant_bits)))
        .push_bind(image.map(|image| image.colour.name()))
        .push_bind(metadata.age_years)
        .push_bind(metadata.view.map(cxr::metadata::View::name))
        .push_bind(metadata.modality.map(cxr::metadata::Modality::name))
        .push_bind(statistics.map(|_| cxr::statistics::VERSION as i16))
        .push_bind(statistics.map(Json))
        .push_bind(model.map(|model| &model.name))
        .push_bind(model.map(|model| &model.version))
        .push_bind(model.map(|model| &model.bundle_digest))
        .push_bind(model.map(|model| &model.variant))
        .push_bind(model.map(|model| Json(&model.execution)))
        .push_bind(scores.map(|scores| &scores.policy_digest))
        .push_bind(scores.map(|scores| scores.logit))
        .push_bind(scores.map(|scores| scores.probability.value()))
        .push_bind(scores.map(|scores| scores.decision.confidence))
        .push_bind(scores.map(|scores| scores.threshold))
        .push_bind(scores.map(|scores| scores.decision.verdict.code()))
        .push_bind(scores.map(|scores| scores.decision.review_required))
        .push_bind(scores.map(|scores| scores.decision.reason.code()))
        .push_bind(scores.map(|scores| scores.ood_score))
        .push_bind(scores.map(|scores| &scores.embedding_coordinates))
        .push_bind(scores.map(|scores| &scores.cam))
        .push_bind(scores.map(|scores| scores.cam_size.0 as i16))
        .push_bind(scores.map(|scores| scores.cam_size.1 as i16))
        .push_bind(Json(&row.timings));
}

pub(super) async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<StoredPrediction>, sqlx::Error> {
    sqlx::query_as(FIND).bind(id).fetch_optional(connection).await
}
