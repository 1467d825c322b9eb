//! `POST /v1/monitoring/alarms/{id}/acknowledge` and `/resolve`: what operators do about an alarm.

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::{RequestOperator, RowId, json_body, reason};
use crate::store::{AlarmAction, AlarmEvent, AlarmOutcome};
use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// `{id}` in the path.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AlarmId {
    /// Id of the alarm, from `GET /v1/monitoring/alarms`
    id: Uuid,
}

impl FromRequestParts<Shared> for AlarmId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let RowId { id } = RowId::from_request_parts(parts, api).await?;
        Ok(Self { id })
    }
}

/// Why an operator acts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    /// 1 to 1000 characters, in one line. It is kept for ever: write nothing about a patient.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// What was done about an alarm.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlarmEventInfo {
    /// Id of the alarm.
    alarm_id: Uuid,
    /// `acknowledged` or `resolved`.
    event: String,
    /// When, by the database clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    at: OffsetDateTime,
    /// The `sub` of the token of the operator.
    actor: String,
    /// Why.
    reason: String,
}

/// Acknowledge an alarm.
///
/// An acknowledged alarm stays open and keeps collecting evidence, but it is no longer escalated. A repeated
/// request gives the first acknowledgement.
#[utoipa::path(
    post,
    path = "/v1/monitoring/alarms/{id}/acknowledge",
    operation_id = "acknowledgeAlarm",
    tag = "monitoring",
    params(AlarmId),
    request_body = Why,
    security(("bearer" = ["admin"])),
    responses(
        (status = 200, description = "Acknowledged before", body = AlarmEventInfo),
        (status = 201, description = "Acknowledged", body = AlarmEventInfo),
        (status = 400, description = "Malformed id or reason"),
        (status = 404, description = "Alarm not found"),
        (status = 408, description = "Request body timed out"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn acknowledge(
    State(api): State<Shared>,
    AlarmId { id }: AlarmId,
    operator: RequestOperator,
    request: Request,
) -> Result<Response, ApiError> {
    act(&api, id, AlarmAction::Acknowledge, operator, request).await
}

/// Resolve an alarm.
///
/// Something must have changed since: a baseline of the stream was approved, or the model was changed. A
/// repeated request gives the first resolution.
#[utoipa::path(
    post,
    path = "/v1/monitoring/alarms/{id}/resolve",
    operation_id = "resolveAlarm",
    tag = "monitoring",
    params(AlarmId),
    request_body = Why,
    security(("bearer" = ["admin"])),
    responses(
        (status = 200, description = "Resolved before", body = AlarmEventInfo),
        (status = 201, description = "Resolved", body = AlarmEventInfo),
        (status = 400, description = "Malformed id or reason"),
        (status = 404, description = "Alarm not found"),
        (status = 408, description = "Request body timed out"),
        (status = 409, description = "Neither the baseline nor the model has changed since the alarm"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn resolve(
    State(api): State<Shared>,
    AlarmId { id }: AlarmId,
    operator: RequestOperator,
    request: Request,
) -> Result<Response, ApiError> {
    act(&api, id, AlarmAction::Resolve, operator, request).await
}

async fn act(
    api: &Shared,
    id: Uuid,
    action: AlarmAction,
    RequestOperator(operator): RequestOperator,
    request: Request,
) -> Result<Response, ApiError> {
    let takes = "the body must be a JSON object (application/json) with reason, a text";
    let Why { reason: text } = json_body(api, request, takes).await?;
    let reason = reason(&text)?;
    let (status, event) = match api.store.annotations.act_on_alarm(id, action, &reason, &operator).await? {
        AlarmOutcome::Done(event) => (StatusCode::CREATED, event),
        AlarmOutcome::Before(event) => (StatusCode::OK, event),
        AlarmOutcome::Unchanged => return Err(ApiError::AlarmUnchanged),
        AlarmOutcome::NoSuchAlarm => return Err(ApiError::AlarmNotFound),
    };
    api.results.refresh();
    let AlarmEvent { alarm_id, event, at, actor, reason } = event;
    Ok((status, Json(AlarmEventInfo { alarm_id, event, at, actor, reason })).into_response())
}
