//! `POST` and `GET /v1/predictions/{id}/labels`: the truth about an image, said later.

use super::Shared;
use super::error::{ApiError, Problem};
use super::observe::Arrival;
use crate::auth::Actor;
use crate::store::{NewLabel, Read, StoredLabel};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;
use uuid::Uuid;

/// The year of the first one; what is written a little before the year 0 could not even be read back.
const FIRST_RADIOGRAPH: i32 = 1895;

/// The truth about an image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelStatement {
    /// Whether the finding is there.
    label: Truth,
    /// Who or what found it.
    source: Source,
    /// When it was found.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    labelled_at: OffsetDateTime,
}

/// Whether the finding is there.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Truth {
    Positive,
    Negative,
}

/// Who or what found it: a closed list, so that nobody writes a name into it.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// A radiologist looked at this image again.
    Radiologist,
    /// The report of the examination.
    Report,
    /// Several readers agreed.
    Consensus,
    /// What became of the patient.
    FollowUp,
    /// A laboratory.
    Laboratory,
    /// Something else.
    Other,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Radiologist => "radiologist",
            Self::Report => "report",
            Self::Consensus => "consensus",
            Self::FollowUp => "follow_up",
            Self::Laboratory => "laboratory",
            Self::Other => "other",
        }
    }
}

/// A label as it is kept.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(super) struct Label {
    /// Its id.
    id: Uuid,
    /// The image.
    prediction_id: Uuid,
    /// `positive` or `negative`.
    label: String,
    /// Who or what found it.
    source: String,
    /// When it was found.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    labelled_at: OffsetDateTime,
    /// When it was written down, on the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    recorded_at: OffsetDateTime,
    /// Subject of the token that said it.
    actor: String,
}

/// Every label of an image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Labels {
    /// The one that counts first: found last, and of two found at the same moment, written down last.
    labels: Vec<Label>,
}

/// State the truth about an image.
///
/// Repeating the latest statement is a no-op. Every other statement is added, and the one with the latest `labelled_at` takes effect;
/// of equals, the one recorded last.
#[utoipa::path(
    post,
    path = "/v1/predictions/{id}/labels",
    operation_id = "createLabel",
    tag = "predictions",
    params(("id" = Uuid, Path, description = "Id from an answer or a problem document")),
    request_body = LabelStatement,
    security(("bearer" = ["label"])),
    responses(
        (status = 200, description = "It was said before", body = Label),
        (status = 201, description = "It is written down", body = Label),
        (status = 400, description = "The id or the statement cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or one that is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such row", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "This client asks for too much", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The audit log is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(api): State<Shared>,
    Extension(arrival): Extension<Arrival>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = Uuid::parse_str(&id).map_err(|_| ApiError::Malformed("the id in the path is no UUID"))?;
    let statement = Json::<LabelStatement>::from_request(request, &());
    let statement = tokio::time::timeout(api.body_timeout, statement).await;
    let statement = statement.map_err(|_| ApiError::BodyTimeout { by_deadline: false })?;
    let Json(statement) = statement.map_err(|_| {
        ApiError::Malformed(
            "the body is a JSON object (application/json) with label (positive or negative), source (radiologist, report, \
             consensus, follow_up, laboratory or other) and labelled_at (RFC 3339)",
        )
    })?;
    if statement.labelled_at > arrival.at + time::Duration::MINUTE {
        return Err(ApiError::Malformed("labelled_at is to come"));
    }
    if statement.labelled_at.to_offset(UtcOffset::UTC).year() < FIRST_RADIOGRAPH {
        return Err(ApiError::Malformed("labelled_at is before there were radiographs"));
    }
    api.pipeline.audit.find(id).await?.ok_or(ApiError::PredictionNotFound)?;
    let label = NewLabel {
        prediction_id: id,
        label: match statement.label {
            Truth::Positive => "positive",
            Truth::Negative => "negative",
        },
        source: statement.source.name(),
        labelled_at: statement.labelled_at,
        request_id: arrival.request_id,
        actor: actor.subject().to_owned(),
    };
    let (label, is_new) = api.pipeline.audit.label(&label).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Label::from(label))).into_response())
}

/// Read the labels of an image.
#[utoipa::path(
    get,
    path = "/v1/predictions/{id}/labels",
    operation_id = "getLabels",
    tag = "predictions",
    params(("id" = Uuid, Path, description = "Id from an answer or a problem document")),
    security(("bearer" = ["label"])),
    responses(
        (status = 200, description = "The labels; that they were read is logged", body = Labels),
        (status = 400, description = "The id is no UUID", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or one that is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "This client asks for too much", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The audit log is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(api): State<Shared>,
    Extension(arrival): Extension<Arrival>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Result<Json<Labels>, ApiError> {
    let id = Uuid::parse_str(&id).map_err(|_| ApiError::Malformed("the id in the path is no UUID"))?;
    let labels = api.pipeline.audit.labels(id).await?;
    let read = Read {
        request_id: arrival.request_id,
        actor: actor.subject().to_owned(),
        query: serde_json::json!({ "labels_of": id }),
        n_rows: Some(labels.len() as u64),
    };
    api.pipeline.audit.record_read(&read).await?;
    Ok(Json(Labels { labels: labels.into_iter().map(Label::from).collect() }))
}

impl From<StoredLabel> for Label {
    fn from(label: StoredLabel) -> Self {
        let StoredLabel { id, prediction_id, label, source, labelled_at, recorded_at, actor } = label;
        Self { id, prediction_id, label, source, labelled_at, recorded_at, actor }
    }
}
