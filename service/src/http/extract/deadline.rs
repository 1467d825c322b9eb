//! `X-Request-Timeout-Ms`: the deadline that a client sets.

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::header::{Repeated, single};
use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use std::time::Duration;
use utoipa::IntoParams;

const HEADER: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// Time from the request's head within which the model must start.
pub(crate) struct RequestTimeout(pub(crate) Duration);

/// The header in the API description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header in the API document")]
pub(crate) struct TimeoutHeader {
    /// Milliseconds from the request's head within which the model must start on the image; otherwise the
    /// answer is 504. Capped at the service's maximum; the service's default if absent.
    #[param(rename = "X-Request-Timeout-Ms", minimum = 1, example = 2000)]
    timeout_ms: Option<u64>,
}

impl FromRequestParts<Shared> for RequestTimeout {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let stated = match single(&parts.headers, &HEADER) {
            Ok(None) => return Ok(Self(api.deadlines.default)),
            Ok(Some(value)) => value.to_str().ok().and_then(whole_number),
            Err(Repeated) => None,
        };
        let milliseconds = stated.filter(|stated| *stated > 0).ok_or(ApiError::Malformed(
            "X-Request-Timeout-Ms must occur at most once, with a whole number of milliseconds, 1 or more",
        ))?;
        Ok(Self(Duration::from_millis(milliseconds).min(api.deadlines.max)))
    }
}

/// Digits only; a number beyond `u64` counts as `u64::MAX`.
fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}
