//! `GET /v1/audit/...`: the newest checkpoint, inclusion proofs and consistency proofs.

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::{AuditedRead, RowId};
use crate::record::tree::{Asked, Hashes};
use crate::store::SignedCheckpoint;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tlog_tiles::{HashReader, prove_record, prove_tree};
use utoipa::ToSchema;
use uuid::Uuid;

/// Inclusion proof: shows that an audit row is in the tree (RFC 9162, 2.1.3).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InclusionProof {
    /// Id of the audit row.
    id: Uuid,
    /// Position of the leaf in the tree, counted from 0.
    leaf_index: u64,
    /// The row's leaf, in base64: SHA-256 of a zero byte, the 16 bytes of the id and the SHA-256 of the row's
    /// canonical form. Before encoding version 4: SHA-256 of a zero byte and the canonical form.
    leaf_hash: String,
    /// Number of leaves in the tree of the checkpoint.
    tree_size: u64,
    /// Hashes from the leaf's sibling up to the children of the root, in base64.
    hashes: Vec<String>,
    /// Checkpoint of the tree (c2sp.org/tlog-checkpoint).
    checkpoint: String,
}

/// Consistency proof: shows that a newer tree extends an older one unchanged (RFC 9162, 2.1.4).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsistencyProof {
    /// Number of leaves in the older tree.
    from: u64,
    /// Number of leaves in the newer tree.
    to: u64,
    /// Hashes of the proof, in base64.
    hashes: Vec<String>,
    /// Checkpoint of the newer tree (c2sp.org/tlog-checkpoint).
    checkpoint: String,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InclusionQuery {
    /// Number of leaves in the tree, which must have a checkpoint; the newest checkpoint if absent.
    tree_size: Option<u64>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsistencyQuery {
    /// Number of leaves in the older tree, at least 1.
    #[param(minimum = 1)]
    from: u64,
    /// Number of leaves in the newer tree, which must have a checkpoint; the newest checkpoint if absent.
    to: Option<u64>,
}

/// Get the newest checkpoint of the audit log.
#[utoipa::path(
    get,
    path = "/v1/audit/checkpoint",
    operation_id = "getCheckpoint",
    tag = "audit",
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The checkpoint, a signed note (c2sp.org/tlog-checkpoint)", body = String, content_type = "text/plain"),
        (status = 404, description = "The audit log has no checkpoint yet"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn checkpoint(State(api): State<Shared>) -> Result<Response, ApiError> {
    let head = head(&api, None).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], head.note).into_response())
}

/// Prove that an audit row is in the tree.
#[utoipa::path(
    get,
    path = "/v1/audit/proofs/{id}",
    operation_id = "getInclusionProof",
    tag = "audit",
    params(RowId, InclusionQuery),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The inclusion proof; the read is recorded", body = InclusionProof),
        (status = 400, description = "The id is not a UUID, or tree_size is malformed"),
        (status = 404, description = "Row or checkpoint not found, or the row is not in the tree yet"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn inclusion(
    State(api): State<Shared>,
    RowId { id }: RowId,
    read: AuditedRead,
    query: Result<Query<InclusionQuery>, QueryRejection>,
) -> Result<Json<InclusionProof>, ApiError> {
    let Query(query) =
        query.map_err(|_| ApiError::Malformed("the only query parameter is tree_size, a number"))?;
    let leaf = api.store.reader.leaf_index(id).await?;
    read.record(&api.store, json!({ "proof_of": id }), Some(u64::from(leaf.is_some()))).await?;
    let Some((leaf_index, leaf_hash)) = leaf else {
        let known = api.store.reader.prediction(id).await?.is_some();
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

/// Prove that the current tree extends an older one.
#[utoipa::path(
    get,
    path = "/v1/audit/consistency",
    operation_id = "getConsistencyProof",
    tag = "audit",
    params(ConsistencyQuery),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The consistency proof", body = ConsistencyProof),
        (status = 400, description = "The sizes are malformed, or from is larger than to"),
        (status = 404, description = "Checkpoint not found"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn consistency(
    State(api): State<Shared>,
    query: Result<Query<ConsistencyQuery>, QueryRejection>,
) -> Result<Json<ConsistencyProof>, ApiError> {
    let malformed = |_| ApiError::Malformed("the query parameters are from and to, both numbers");
    let Query(query) = query.map_err(malformed)?;
    let head = head(&api, query.to).await?;
    if !(1..=head.size).contains(&query.from) {
        return Err(ApiError::Malformed(
            "from must be at least 1 and at most to (by default, the size of the newest checkpoint)",
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

async fn head(api: &Shared, size: Option<u64>) -> Result<SignedCheckpoint, ApiError> {
    api.store.reader.checkpoint(size).await?.ok_or(ApiError::NoCheckpoint)
}

async fn hashes(api: &Shared, positions: &[u64]) -> Result<Hashes, ApiError> {
    let hashes = api.store.reader.tree_hashes(positions).await?;
    // The tree only grows, so a missing hash was deleted.
    if hashes.read_hashes(positions).is_err() {
        tracing::error!("audit tree hashes missing in the database");
        return Err(ApiError::Failed { row: None });
    }
    Ok(hashes)
}
