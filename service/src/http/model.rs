//! `GET /v1/model`: what serves, with digests, proof of execution and measured figures.

use super::Shared;
use super::error::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What serves.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelInfo {
    /// Name of the bundle.
    name: String,
    /// Its version.
    version: String,
    /// SHA-256 of its manifest.
    digest: String,
    /// Id of the trusted key that signed it; absent where no key is configured.
    signed_by: Option<String>,
    /// The variant that serves.
    variant: String,
    /// Architecture of the network.
    architecture: String,
    /// Class names: negative, positive.
    labels: [String; 2],
    /// Who and what the model is for.
    #[schema(value_type = Object)]
    intended_use: Value,
    /// Positive from this probability on.
    threshold: f64,
    /// The colour scale of heatmaps; null where the bundle has none and no heatmaps are given.
    #[schema(value_type = Option<Object>)]
    heatmap_scale: Option<Value>,
    /// How the threshold was chosen.
    #[schema(value_type = Object)]
    operating_point: Value,
    /// The provider that executes the graph; null while none does.
    #[schema(example = "CPUExecutionProvider")]
    provider: Option<String>,
    /// Nodes of the graph by provider, as ONNX Runtime assigned them; null while nothing executes.
    assigned_nodes: Option<BTreeMap<String, usize>>,
    /// Everything that can change the last bits of an output; null while nothing executes.
    #[schema(value_type = Option<Object>)]
    execution: Option<Value>,
    /// The same of the session for an image that nothing runs beside; null where there is none.
    #[schema(value_type = Option<Object>)]
    execution_alone: Option<Value>,
    /// A candidate that scores the same images and never answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowInfo>,
    /// Why the model does not execute.
    unavailable: Option<String>,
    /// What one upload may cost.
    limits: Limits,
    /// Measured figures by fold.
    #[schema(value_type = Object)]
    evaluation: Value,
    /// Version of this service.
    service_version: &'static str,
}

/// The candidate.
#[derive(Debug, Serialize, ToSchema)]
struct ShadowInfo {
    /// Name of its bundle.
    name: String,
    /// Its version.
    version: String,
    /// SHA-256 of its manifest.
    digest: String,
    /// Its variant.
    variant: String,
}

/// What one upload may cost.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the configuration's keys")]
struct Limits {
    /// Largest encoded image.
    max_bytes: usize,
    /// Largest width times height.
    max_pixels: u64,
    /// Most frames or pages.
    max_frames: u32,
}

/// Describe the model that serves.
#[utoipa::path(
    get,
    path = "/v1/model",
    operation_id = "getModel",
    tag = "model",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The model", body = ModelInfo),
        (status = 401, description = "No token, or one that is not accepted", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(api): State<Shared>) -> Json<ModelInfo> {
    let serving = api.pipeline.slot.current();
    let (model, engine) = (&serving.model, serving.engine.as_ref());
    let (manifest, variant) = (model.manifest(), model.variant());
    let limits = &api.pipeline.limits;
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
        execution_alone: engine.ok().and_then(|engine| engine.execution_alone().cloned()),
        shadow: api.pipeline.shadow.as_ref().map(|shadow| ShadowInfo {
            name: shadow.model().manifest().name.clone(),
            version: shadow.model().manifest().version.clone(),
            digest: shadow.model().bundle().digest().to_owned(),
            variant: shadow.model().variant_name().to_owned(),
        }),
        unavailable: engine.err().cloned(),
        limits: Limits {
            max_bytes: limits.max_bytes,
            max_pixels: limits.max_pixels,
            max_frames: limits.max_frames,
        },
        evaluation: json(serde_json::to_value(&manifest.evaluation)),
        service_version: env!("CARGO_PKG_VERSION"),
    })
}
