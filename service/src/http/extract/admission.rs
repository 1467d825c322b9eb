//! Admission: gives a request its slots before the body is read.

use crate::auth::Actor;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::pipeline::Admission;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The slots of an admitted request: one of the client's and one of the service's.
pub(crate) struct Admitted(pub(crate) Admission);

impl FromRequestParts<Shared> for Admitted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        if api.pipeline.current_model.get().engine.is_err() {
            return Err(ApiError::ModelUnavailable);
        }
        let actor = parts.extensions.get::<Actor>().ok_or(ApiError::MissingToken)?;
        let slot = api.quotas.slot(actor.subject()).ok_or(ApiError::ClientAtLimit)?;
        api.slots.admit(slot).map(Self).ok_or(ApiError::Overloaded)
    }
}
