//! `/livez`, `/readyz` and `/metrics`: for the platform, without a token.

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::telemetry::logs::chain;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
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

/// Metrics for Prometheus, in its text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    security(()),
    responses((status = 200, description = "All metrics of this replica", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(api): State<Shared>) -> Result<impl IntoResponse, ApiError> {
    let text = api.metrics_page.text(async {
        // Refreshes the gauge `cxr_ready`, which no probe may have done recently.
        api.readiness.failed_checks().await;
        api.metrics.exposition().map_err(|error| {
            tracing::error!(cause = chain(&error), "writing metrics failed");
            ApiError::Failed { row: None }
        })
    });
    let text = Box::pin(text).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
