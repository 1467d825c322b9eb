//! `/livez` and `/readyz`: probes of the platform, without a token.

use crate::http::Shared;
use crate::http::error::ApiError;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Result of a probe.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `alive` or `ready`.
    status: &'static str,
}

/// Liveness probe: whether the process responds.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operations",
    security(()),
    responses((status = 200, description = "Alive", body = Health))
)]
pub(crate) async fn livez() -> Json<Health> {
    Json(Health { status: "alive" })
}

/// Readiness probe: whether to send requests to this replica.
///
/// Ready means that the model runs on the configured provider, the database responds and has the current
/// schema, the clocks agree, the token keys are known, and the service is not shutting down.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "Not ready; `checks` lists what failed"),
    )
)]
pub(crate) async fn readyz(State(api): State<Shared>) -> Result<Json<Health>, ApiError> {
    let failed = api.readiness.failed_checks().await;
    if failed.is_empty() { Ok(Json(Health { status: "ready" })) } else { Err(ApiError::NotReady(failed)) }
}
