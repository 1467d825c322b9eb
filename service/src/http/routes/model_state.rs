//! `POST /v1/model/state`: takes the model out of service, or back.

use crate::config::model::ModelState;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::{RequestOperator, json_body, reason};
use crate::serving::Standing;
use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// The state to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewState {
    /// `serving`, or `advisory`: every image is then referred.
    #[schema(value_type = String, pattern = "^(serving|advisory)$")]
    state: ModelState,
    /// Why: 1 to 1000 characters, in one line. It is kept for ever: write nothing about a patient.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// Whether the model answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateInfo {
    /// `serving`, or `advisory`: every image is referred.
    state: &'static str,
    /// Why; null if no operator has set a state.
    reason: Option<String>,
    /// When an operator set it; null if none did, or if the configuration says `advisory`.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<OffsetDateTime>,
}

impl From<Standing> for StateInfo {
    fn from(Standing { state, reason, since }: Standing) -> Self {
        Self { state: state.name(), reason, since }
    }
}

/// Take the model out of service, or back.
///
/// With `advisory` the service goes on to examine and record images, but every answer has the decision
/// `refer`, without class and probability. Other replicas follow within 5 seconds. The answer is the state
/// that holds: `advisory` also if only the configuration of this replica says so.
#[utoipa::path(
    post,
    path = "/v1/model/state",
    operation_id = "setModelState",
    tag = "model",
    request_body = NewState,
    security(("bearer" = ["admin"])),
    responses(
        (status = 200, description = "The state that holds now", body = StateInfo),
        (status = 400, description = "Malformed state or reason"),
        (status = 408, description = "Request body timed out"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn set(
    State(api): State<Shared>,
    RequestOperator(operator): RequestOperator,
    request: Request,
) -> Result<Json<StateInfo>, ApiError> {
    let takes = "the body must be a JSON object (application/json) with state (serving or advisory) and reason, a text";
    let NewState { state, reason: text } = json_body(&api, request, takes).await?;
    let standing = api.pipeline.switch.set(state, &reason(&text)?, &operator).await?;
    Ok(Json(standing.into()))
}
