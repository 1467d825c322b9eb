//! `{id}` in the path: the id of an audit row.

use crate::http::Shared;
use crate::http::error::ApiError;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RowId {
    /// Id of the audit row, from an answer or a problem document
    pub(crate) id: Uuid,
}

impl FromRequestParts<Shared> for RowId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let malformed = || ApiError::Malformed("the id in the path is not a UUID");
        let Path(id) = Path::<String>::from_request_parts(parts, api).await.map_err(|_| malformed())?;
        Uuid::parse_str(&id).map(|id| Self { id }).map_err(|_| malformed())
    }
}
