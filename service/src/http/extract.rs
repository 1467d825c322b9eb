//! Extractors: admission, row ids and recorded reads here; headers, query and upload in files of their own.
//!
//! Extensions of a request:
//!
//! | Extension | Set by | Read by |
//! |---|---|---|
//! | `ListenerRole` | `net/connection.rs` | `middleware/observe.rs`, `middleware/access.rs` |
//! | `Peer` | `net/connection.rs` | `middleware/observe.rs` |
//! | `Arc<Connection>` | `net/connection.rs` | `middleware/observe.rs`, `middleware/access.rs` |
//! | `Arrival` | `middleware/observe.rs` | `middleware/access.rs`, `AuditedRead`, handlers (`Extension`) |
//! | `Actor` | `middleware/access.rs` | `Admitted`, `AuditedRead`, handlers (`Extension`) |

pub(super) mod headers;
pub(super) mod media;
pub(super) mod multipart;
pub(super) mod query;
pub(super) mod upload;

use super::Shared;
use super::error::ApiError;
use super::middleware::observe::Arrival;
use crate::auth::Actor;
use crate::pipeline::Admission;
use crate::store::{Operator, Read, Reason, Store};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::{Extension, Json};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;
use uuid::Uuid;

/// The slots of an admitted request: one of the client's and one of the service's.
pub(crate) struct Admitted(pub(crate) Admission);

impl FromRequestParts<Shared> for Admitted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        if api.pipeline.current_model.get().engine.is_err() {
            return Err(ApiError::ModelUnavailable);
        }
        let actor = parts.extensions.get::<Actor>().ok_or(ApiError::MissingToken)?;
        let slot = api.quotas.slot(actor.sub()).ok_or(ApiError::ClientAtLimit)?;
        api.slots.admit(slot).map(Self).ok_or(ApiError::Overloaded)
    }
}

/// `{id}` in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RowId {
    /// Id of the audit row, from an answer or a problem document
    pub(crate) id: Uuid,
}

/// An operator in a request: the actor of its token.
pub(crate) struct RequestOperator(pub(crate) Operator);

impl FromRequestParts<Shared> for RequestOperator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let AuditedRead { arrival, actor } = AuditedRead::from_request_parts(parts, api).await?;
        let actor = Some(actor.sub().to_owned());
        Ok(Self(Operator { actor, request_id: arrival.request_id }))
    }
}

impl FromRequestParts<Shared> for RowId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let malformed = || ApiError::Malformed("the id in the path is not a UUID");
        let Path(id) = Path::<String>::from_request_parts(parts, api).await.map_err(|_| malformed())?;
        Uuid::parse_str(&id).map(|id| Self { id }).map_err(|_| malformed())
    }
}

/// A JSON body, which must arrive in time; `takes` describes it.
pub(crate) async fn json_body<T: DeserializeOwned>(
    api: &Shared,
    request: Request,
    takes: &'static str,
) -> Result<T, ApiError> {
    let body = tokio::time::timeout(api.body_timeout, Json::<T>::from_request(request, &())).await;
    let body = body.map_err(|_| ApiError::BodyTimeout { by_deadline: false })?;
    body.map(|Json(body)| body).map_err(|_| ApiError::Malformed(takes))
}

/// The reason in a body.
pub(crate) fn reason(text: &str) -> Result<Reason, ApiError> {
    Reason::parse(text).ok_or(ApiError::Malformed(Reason::RULE))
}

/// An access to audit rows, labels or proofs, to record in `audit_reads`.
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
        let read = Read { request_id, actor: self.actor.sub().to_owned(), query, n_rows };
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
