//! `POST /v1/model/reload`: load the bundle that is now in the configured directory.

use crate::http::Shared;
use crate::http::error::ApiError;
use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

/// The current model after a reload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReloadReport {
    /// Whether the model changed; `false` if the directory holds the bundle that was already in use.
    swapped: bool,
    /// Digest of the current bundle.
    digest: String,
    /// Version of the current bundle.
    version: String,
    /// Variant in use.
    variant: String,
    /// Digest of the previous bundle.
    previous_digest: String,
    /// Milliseconds from the request to the swap.
    took_ms: u64,
}

/// Load the bundle in the configured directory.
///
/// The service verifies the bundle, warms it up and checks its golden outputs while the current model keeps
/// serving, then swaps it in. Requests in flight finish with the model they started with. If any check fails,
/// the current model keeps serving.
#[utoipa::path(
    post,
    path = "/v1/model/reload",
    operation_id = "reloadModel",
    tag = "model",
    security(("bearer" = ["admin"])),
    responses(
        (status = 200, description = "The current model", body = ReloadReport),
        (status = 400, description = "Query parameters are not allowed"),
        (status = 409, description = "Reload in progress"),
        (status = 422, description = "Bundle rejected; the current model keeps serving"),
    )
)]
pub(crate) async fn reload(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<ReloadReport>, ApiError> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(ApiError::Malformed(
            "a reload has no query parameters; it loads the bundle in service.model.bundle",
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
