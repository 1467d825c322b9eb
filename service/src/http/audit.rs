//! `GET /v1/audit/...`: the signed head of the log's tree, and proofs against it.

use super::Shared;
use super::error::{ApiError, Problem};
use super::observe::Arrival;
use crate::audit::tree::{Asked, Hashes};
use crate::auth::Actor;
use crate::store::{Read, SignedHead};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tlog_tiles::{HashReader, prove_record, prove_tree};
use utoipa::ToSchema;
use uuid::Uuid;

/// Proof that a row is in the log's tree (RFC 9162, 2.1.3).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InclusionProof {
    /// The row.
    id: Uuid,
    /// Its place, counted from 0.
    leaf_index: u64,
    /// SHA-256 of a zero byte, the id's 16 bytes and the SHA-256 of the row's canonical form, in base64 (encoding version 4; of the form
    /// alone before).
    leaf_hash: String,
    /// Leaves of the tree that it is proven for.
    tree_size: u64,
    /// Hashes from the leaf's neighbour to below the root, in base64.
    hashes: Vec<String>,
    /// The signed head of that tree (c2sp.org/tlog-checkpoint).
    checkpoint: String,
}

/// Proof that one tree of the log goes on from another (RFC 9162, 2.1.4).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConsistencyProof {
    /// Leaves of the older tree.
    from: u64,
    /// Leaves of the newer tree.
    to: u64,
    /// Hashes, in base64.
    hashes: Vec<String>,
    /// The newer tree's signed head.
    checkpoint: String,
}

/// Which tree.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InclusionQuery {
    /// Leaves of the tree; the newest where absent. A checkpoint of that size must exist.
    tree_size: Option<u64>,
}

/// Which trees.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsistencyQuery {
    /// Leaves of the older tree, at least 1.
    #[param(minimum = 1)]
    from: u64,
    /// Leaves of the newer tree; the newest where absent. A checkpoint of that size must exist.
    to: Option<u64>,
}

/// The newest signed head of the audit log's tree.
#[utoipa::path(
    get,
    path = "/v1/audit/checkpoint",
    operation_id = "getCheckpoint",
    tag = "audit",
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The head as a signed note (c2sp.org/tlog-checkpoint)", body = String, content_type = "text/plain"),
        (status = 401, description = "No token, or one that is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Nothing is in the tree yet", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The audit log is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn checkpoint(State(api): State<Shared>) -> Result<Response, ApiError> {
    let head = head(&api, None).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], head.note).into_response())
}

/// Prove that a row is in the audit log's tree.
#[utoipa::path(
    get,
    path = "/v1/audit/proofs/{id}",
    operation_id = "getInclusionProof",
    tag = "audit",
    params(("id" = Uuid, Path, description = "Id from an answer or a problem document"), InclusionQuery),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The proof; that the row was asked for is logged", body = InclusionProof),
        (status = 400, description = "The id is no UUID, or the size cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or one that is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such row or checkpoint, or the row waits for its place in the tree", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The audit log is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn inclusion(
    State(api): State<Shared>,
    Extension(arrival): Extension<Arrival>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    query: Result<Query<InclusionQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<InclusionProof>, ApiError> {
    let id = Uuid::parse_str(&id).map_err(|_| ApiError::Malformed("the id in the path is no UUID"))?;
    let Query(query) = query.map_err(|_| ApiError::Malformed("the query takes tree_size, a number"))?;
    let place = api.pipeline.audit.place(id).await?;
    let read = Read {
        request_id: arrival.request_id,
        actor: actor.subject().to_owned(),
        query: serde_json::json!({ "proof_of": id }),
        n_rows: Some(u64::from(place.is_some())),
    };
    api.pipeline.audit.record_read(&read).await?;
    let Some((leaf_index, leaf_hash)) = place else {
        let known = api.pipeline.audit.find(id).await?.is_some();
        return Err(if known { ApiError::NotSequenced } else { ApiError::PredictionNotFound });
    };
    let head = head(&api, query.tree_size).await?;
    if leaf_index >= head.size {
        return Err(ApiError::NotSequenced);
    }
    let asked = Asked::by(|asked| prove_record(head.size, leaf_index, asked));
    let hashes = hashes(&api, &asked).await?;
    let proof = prove_record(head.size, leaf_index, &hashes).map_err(|_| ApiError::Failed { row: None })?;
    Ok(Json(InclusionProof {
        id,
        leaf_index,
        leaf_hash: leaf_hash.to_string(),
        tree_size: head.size,
        hashes: proof.iter().map(ToString::to_string).collect(),
        checkpoint: head.note,
    }))
}

/// Prove that the audit log's tree goes on from an older one.
#[utoipa::path(
    get,
    path = "/v1/audit/consistency",
    operation_id = "getConsistencyProof",
    tag = "audit",
    params(ConsistencyQuery),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The proof", body = ConsistencyProof),
        (status = 400, description = "The sizes cannot be read, or the older tree is the larger one", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or one that is not accepted", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such checkpoint", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The audit log is away", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn consistency(
    State(api): State<Shared>,
    query: Result<Query<ConsistencyQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ConsistencyProof>, ApiError> {
    let Query(query) = query.map_err(|_| ApiError::Malformed("the query takes from and to, numbers"))?;
    let head = head(&api, query.to).await?;
    if !(1..=head.size).contains(&query.from) {
        return Err(ApiError::Malformed(
            "from is at least 1 and at most to, or the newest checkpoint's size",
        ));
    }
    let asked = Asked::by(|asked| prove_tree(head.size, query.from, asked));
    let hashes = hashes(&api, &asked).await?;
    let proof = prove_tree(head.size, query.from, &hashes).map_err(|_| ApiError::Failed { row: None })?;
    Ok(Json(ConsistencyProof {
        from: query.from,
        to: head.size,
        hashes: proof.iter().map(ToString::to_string).collect(),
        checkpoint: head.note,
    }))
}

async fn head(api: &Shared, size: Option<u64>) -> Result<SignedHead, ApiError> {
    api.pipeline.audit.head(size).await?.ok_or(ApiError::NoCheckpoint)
}

async fn hashes(api: &Shared, positions: &[u64]) -> Result<Hashes, ApiError> {
    let hashes: Hashes = api.pipeline.audit.tree_hashes(positions).await?.into_iter().collect();
    // One that is missing was taken away: the tree only grows.
    if hashes.read_hashes(positions).is_err() {
        tracing::error!("hashes of the audit tree are missing in the database");
        return Err(ApiError::Failed { row: None });
    }
    Ok(hashes)
}
