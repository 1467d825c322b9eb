//! `GET /v1/model`: the current model with its digests, execution provider and measured performance.
//! `POST /v1/model/reload`: load the bundle that is now in the configured directory.

use super::model_state::StateInfo;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::serving::Reloaded;
use axum::Json;
use axum::extract::{RawQuery, State};
use cxr::DecodeLimits;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The current model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelInfo {
    /// Name of the bundle.
    name: String,
    /// Version of the bundle.
    version: String,
    /// SHA-256 of the bundle's manifest.
    digest: String,
    /// Id of the trusted key that signed the bundle; null if no trusted key is configured.
    signed_by: Option<String>,
    /// The variant in use, such as `fp32`.
    variant: String,
    /// Network architecture.
    architecture: String,
    /// Names of the negative and the positive class, in this order.
    labels: [String; 2],
    /// Ages, views and modalities the model was released for.
    #[schema(value_type = Object)]
    intended_use: Value,
    /// Operating point: an image with at least this probability is positive.
    threshold: f64,
    /// Colour scale of heatmaps; null if the bundle has none, in which case the service returns no heatmaps.
    #[schema(value_type = Option<Object>)]
    heatmap_scale: Option<Value>,
    /// How the threshold was chosen.
    #[schema(value_type = Object)]
    operating_point: Value,
    /// Execution provider that runs the graph; null while the model cannot run.
    #[schema(example = "CPUExecutionProvider")]
    provider: Option<String>,
    /// Number of graph nodes that ONNX Runtime assigned to each provider; null while the model cannot run.
    assigned_nodes: Option<BTreeMap<String, usize>>,
    /// Execution fingerprint: everything that can change the last bits of an output. Null while the model
    /// cannot run.
    #[schema(value_type = Option<Object>)]
    execution: Option<Value>,
    /// Execution fingerprint of the single-image session; null if there is no such session.
    #[schema(value_type = Option<Object>)]
    execution_alone: Option<Value>,
    /// Candidate that scores the same images in the background and never answers requests; absent if none is
    /// configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowInfo>,
    /// Whether the model answers, as operators and the configuration have set it.
    state: StateInfo,
    /// Why the model cannot run; null if it can.
    unavailable: Option<String>,
    /// Limits of one upload.
    limits: Limits,
    /// Measured performance by fold.
    #[schema(value_type = Object)]
    evaluation: Value,
    /// Version of the service.
    service_version: &'static str,
}

/// A candidate in shadow mode.
#[derive(Debug, Serialize, ToSchema)]
struct ShadowInfo {
    /// Name of the candidate's bundle.
    name: String,
    /// Version of the candidate's bundle.
    version: String,
    /// SHA-256 of the bundle's manifest.
    digest: String,
    /// The variant that scores.
    variant: String,
}

/// Limits of one upload.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the configuration's keys")]
struct Limits {
    /// Maximum size of an encoded image, in bytes.
    max_bytes: usize,
    /// Maximum width times height.
    max_pixels: u64,
    /// Maximum number of frames or pages.
    max_frames: u32,
}

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

/// Describe the current model.
#[utoipa::path(
    get,
    path = "/v1/model",
    operation_id = "getModel",
    tag = "model",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The current model", body = ModelInfo),
    )
)]
pub(crate) async fn show(State(api): State<Shared>) -> Json<ModelInfo> {
    let serving = api.pipeline.current_model.get();
    let (model, engine) = (&serving.model, serving.engine.as_ref());
    let (manifest, variant) = (model.manifest(), model.variant());
    let DecodeLimits { max_bytes, max_pixels, max_frames, .. } = api.pipeline.limits;
    let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
    Json(ModelInfo {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        digest: model.bundle().digest().to_owned(),
        signed_by: model.bundle().signed_by().map(ToOwned::to_owned),
        variant: model.variant_name().to_owned(),
        architecture: manifest.model.architecture.clone(),
        labels: manifest.labels.clone(),
        intended_use: json(serde_json::to_value(&manifest.intended_use)),
        threshold: variant.policy.threshold,
        heatmap_scale: variant.heatmap.as_ref().and_then(|scale| serde_json::to_value(scale).ok()),
        operating_point: json(serde_json::to_value(&variant.policy.chosen)),
        provider: engine.ok().map(|engine| engine.proof().provider.clone()),
        assigned_nodes: engine.ok().map(|engine| engine.proof().assigned_nodes.clone()),
        execution: engine.ok().map(|engine| Value::clone(engine.execution())),
        execution_alone: engine.ok().and_then(|engine| engine.single_image_execution().cloned()),
        shadow: api.pipeline.shadow.as_ref().map(|shadow| ShadowInfo {
            name: shadow.model().manifest().name.clone(),
            version: shadow.model().manifest().version.clone(),
            digest: shadow.model().bundle().digest().to_owned(),
            variant: shadow.model().variant_name().to_owned(),
        }),
        state: api.pipeline.switch.standing().into(),
        unavailable: engine.err().cloned(),
        limits: Limits { max_bytes, max_pixels, max_frames },
        evaluation: json(serde_json::to_value(&manifest.evaluation)),
        service_version: env!("CARGO_PKG_VERSION"),
    })
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
        let malformed = "a reload has no query parameters; it loads the bundle in service.model.bundle";
        return Err(ApiError::Malformed(malformed));
    }
    let Reloaded { digest, version, variant, previous_digest, swapped, took } = api.reloader.reload().await?;
    let took_ms = took.as_millis() as u64;
    Ok(Json(ReloadReport { swapped, digest, version, variant, previous_digest, took_ms }))
}
