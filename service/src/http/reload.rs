//! `POST /v1/model/reload`: take over the bundle that now lies in the configured directory.

use super::Shared;
use super::error::{ApiError, Problem};
use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

/// What serves after a reload.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReloadReport {
    /// Whether another model serves now; `false` where the directory holds what served already.
    swapped: bool,
    /// Digest of the bundle that serves.
    digest: String,
    /// Its version.
    version: String,
    /// Its variant.
    variant: String,
    /// Digest of the bundle that served before.
    previous_digest: String,
    /// Milliseconds from the request to the swap.
    took_ms: u64,
}

/// Take over the bundle in the configured directory.
///
/// It is verified, warmed up and proven on its golden outputs beside the old one and then swapped in; requests under way
/// end with the model that they began with. Whatever is wrong with it, the old model goes on.
#[utoipa::path(
    post,
    path = "/v1/model/reload",
    operation_id = "reloadModel",
    tag = "model",
    security(("bearer" = ["admin"])),
    responses(
        (status = 200, description = "What serves now", body = ReloadReport),
        (status = 400, description = "There is a query", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or one that is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another reload is under way", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The bundle is refused; the old model goes on", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reload(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<ReloadReport>, ApiError> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(ApiError::Malformed(
            "a reload takes no query: the bundle is the one in service.model.bundle",
        ));
    }
    let done = api.reloader.reload().await?;
    Ok(Json(ReloadReport {
        swapped: done.swapped,
        digest: done.digest,
        version: done.version,
        variant: done.variant,
        previous_digest: done.previous_digest,
        took_ms: done.took.as_millis() as u64,
    }))
}
