//! `POST` and `GET /v1/predictions/{id}/labels`: the ground truth of an image, recorded after the prediction.

use crate::auth::Actor;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::{AuditedRead, RowId, json_body};
use crate::http::middleware::observe::Arrival;
use crate::store::{NewLabel, StoredLabel};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;
use uuid::Uuid;

/// Also excludes years before 0, which the database could not return.
const FIRST_RADIOGRAPH: i32 = 1895;

/// The label to record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelStatement {
    /// Ground truth: whether the finding is present.
    label: Truth,
    /// Origin of the label.
    source: Source,
    /// When the label was established (RFC 3339).
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    labelled_at: OffsetDateTime,
}

/// Ground truth: whether the finding is present.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Truth {
    Positive,
    Negative,
}

/// Origin of the label. A closed list, so that it cannot hold a name.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// A radiologist read the image again.
    Radiologist,
    /// The radiology report.
    Report,
    /// A consensus of several readers.
    Consensus,
    /// Clinical follow-up of the patient.
    FollowUp,
    /// A laboratory result.
    Laboratory,
    /// Any other source.
    Other,
}

/// A recorded label.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(crate) struct Label {
    /// Id of the label.
    id: Uuid,
    /// Id of the audit row that the label belongs to.
    prediction_id: Uuid,
    /// `positive` or `negative`.
    label: String,
    /// Origin: `radiologist`, `report`, `consensus`, `follow_up`, `laboratory` or `other`.
    source: String,
    /// When the label was established (RFC 3339).
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    labelled_at: OffsetDateTime,
    /// When the label was recorded, by the database clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    recorded_at: OffsetDateTime,
    /// The `sub` of the token that recorded it.
    actor: String,
}

/// All labels of an image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Labels {
    /// The current label first: the latest `labelled_at`, and if two are equal, the one recorded last.
    labels: Vec<Label>,
}

/// Record a label for an image.
///
/// Repeating the latest label is a no-op. Any other label is added, and the one with the latest `labelled_at`
/// takes effect; if two are equal, the one recorded last.
#[utoipa::path(
    post,
    path = "/v1/predictions/{id}/labels",
    operation_id = "createLabel",
    tag = "predictions",
    params(RowId),
    request_body = LabelStatement,
    security(("bearer" = ["label"])),
    responses(
        (status = 200, description = "Already recorded", body = Label),
        (status = 201, description = "Recorded", body = Label),
        (status = 400, description = "Malformed id or label"),
        (status = 404, description = "Prediction not found"),
        (status = 408, description = "Request body timed out"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn create(
    State(api): State<Shared>,
    Extension(arrival): Extension<Arrival>,
    Extension(actor): Extension<Actor>,
    RowId { id }: RowId,
    request: Request,
) -> Result<Response, ApiError> {
    let takes = "the body must be a JSON object (application/json) with label (positive or negative), source (radiologist, \
         report, consensus, follow_up, laboratory or other) and labelled_at (RFC 3339)";
    let statement: LabelStatement = json_body(&api, request, takes).await?;
    if statement.labelled_at > arrival.at + time::Duration::MINUTE {
        return Err(ApiError::Malformed("labelled_at is in the future"));
    }
    if statement.labelled_at.to_offset(UtcOffset::UTC).year() < FIRST_RADIOGRAPH {
        return Err(ApiError::Malformed("labelled_at is before 1895, when there were no radiographs"));
    }
    api.store.reader.prediction(id).await?.ok_or(ApiError::PredictionNotFound)?;
    let label = NewLabel {
        prediction_id: id,
        label: match statement.label {
            Truth::Positive => "positive",
            Truth::Negative => "negative",
        },
        source: match statement.source {
            Source::Radiologist => "radiologist",
            Source::Report => "report",
            Source::Consensus => "consensus",
            Source::FollowUp => "follow_up",
            Source::Laboratory => "laboratory",
            Source::Other => "other",
        },
        labelled_at: statement.labelled_at,
        request_id: arrival.request_id,
        actor: actor.sub().to_owned(),
    };
    let (label, is_new) = api.store.annotations.insert_label(&label).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Label::from(label))).into_response())
}

/// List the labels of an image.
#[utoipa::path(
    get,
    path = "/v1/predictions/{id}/labels",
    operation_id = "getLabels",
    tag = "predictions",
    params(RowId),
    security(("bearer" = ["label"])),
    responses(
        (status = 200, description = "The labels; the read is recorded", body = Labels),
        (status = 400, description = "The id is not a UUID"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    RowId { id }: RowId,
    read: AuditedRead,
) -> Result<Json<Labels>, ApiError> {
    let labels = api.store.reader.labels(id).await?;
    read.record(&api.store, json!({ "labels_of": id }), Some(labels.len() as u64)).await?;
    Ok(Json(Labels { labels: labels.into_iter().map(Label::from).collect() }))
}

impl From<StoredLabel> for Label {
    fn from(label: StoredLabel) -> Self {
        let StoredLabel { id, prediction_id, label, source, labelled_at, recorded_at, actor } = label;
        Self { id, prediction_id, label, source, labelled_at, recorded_at, actor }
    }
}
