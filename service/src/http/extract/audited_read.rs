//! Reads of audit rows, labels and proofs, which are recorded in `audit_reads`.

use crate::auth::Actor;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::middleware::observe::Arrival;
use crate::store::{Read, Store};
use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::Value;

/// A read to record.
pub(crate) struct AuditedRead {
    arrival: Arrival,
    actor: Actor,
}

impl AuditedRead {
    /// Call it before any of the data is sent.
    pub(crate) async fn record(
        self,
        store: &Store,
        query: Value,
        n_rows: Option<u64>,
    ) -> Result<(), ApiError> {
        let request_id = self.arrival.request_id;
        let read = Read { request_id, actor: self.actor.subject().to_owned(), query, n_rows };
        Ok(store.annotations.record_read(&read).await?)
    }
}

impl FromRequestParts<Shared> for AuditedRead {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let missing = |_| ApiError::MissingToken;
        let Extension(arrival) = Extension::from_request_parts(parts, api).await.map_err(missing)?;
        let Extension(actor) = Extension::from_request_parts(parts, api).await.map_err(missing)?;
        Ok(Self { arrival, actor })
    }
}
