//! `GET /v1/operations`: what operators did.

use super::{Paging, page_of};
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::AuditedRead;
use crate::store::StoredOperation;
use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// What an operator did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    /// Id of the operation.
    id: Uuid,
    /// When, by the database clock.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    at: OffsetDateTime,
    /// The request that did it.
    request_id: String,
    /// The `sub` of the operator's token; `database:` and the database user for a command.
    actor: String,
    /// What was done, such as `model.state`, `alarm.acknowledge` or `alarm.resolve`.
    action: String,
    /// To what, and why.
    #[schema(value_type = Object)]
    detail: Value,
}

/// One page of the operations log, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationPage {
    /// The operations.
    items: Vec<Operation>,
    /// Value of `cursor` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uuid>,
}

/// The operations log.
#[utoipa::path(
    get,
    path = "/v1/operations",
    operation_id = "getOperations",
    tag = "audit",
    params(Paging),
    security(("bearer" = ["audit:read"])),
    responses(
        (status = 200, description = "The operations; the read is recorded", body = OperationPage),
        (status = 400, description = "Malformed query"),
        (status = 503, description = "Audit log unavailable"),
    )
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    read: AuditedRead,
    RawQuery(query): RawQuery,
) -> Result<Json<OperationPage>, ApiError> {
    let (cursor, limit) = Paging::read(query.as_deref())?;
    let operations = api.store.reader.operations(cursor, limit + 1).await?;
    let (operations, next) = page_of(operations, limit, |operation| operation.operation_id);
    let query = json!({ "operations": true, "cursor": cursor });
    read.record(&api.store, query, Some(operations.len() as u64)).await?;
    let items = operations.into_iter().map(Operation::from).collect();
    Ok(Json(OperationPage { items, next }))
}

impl From<StoredOperation> for Operation {
    fn from(operation: StoredOperation) -> Self {
        let StoredOperation { operation_id: id, at, request_id, actor, action, detail } = operation;
        Self { id, at, request_id, actor, action, detail }
    }
}
