//! The extractor that takes a place at the door, before any of the body is read.

use crate::auth::Actor;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::pipeline::Admission;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// An admitted request.
pub(crate) struct Admitted(pub(crate) Admission);

impl FromRequestParts<Shared> for Admitted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        if api.pipeline.slot.current().engine.is_err() {
            return Err(ApiError::ModelUnavailable);
        }
        let actor = parts.extensions.get::<Actor>().ok_or(ApiError::MissingToken)?;
        let place = api.quotas.slot(actor.subject()).ok_or(ApiError::ClientAtLimit)?;
        api.gate.try_enter(place).map(Self).ok_or(ApiError::Overloaded)
    }
}
