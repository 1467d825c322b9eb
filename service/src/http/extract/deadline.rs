//! `X-Request-Timeout-Ms`: the deadline that a client sets.

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::header::single;
use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use std::time::Duration;
use utoipa::IntoParams;

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
        let malformed =
            "X-Request-Timeout-Ms must occur at most once, with a whole number of milliseconds, 1 or more";
        let parse = |value: &HeaderValue| value.to_str().ok().and_then(whole_number).filter(|n| *n > 0);
        let stated = single(&parts.headers, "x-request-timeout-ms", malformed, parse)?;
        let timeout = stated.map_or(api.deadlines.default, Duration::from_millis);
        Ok(Self(timeout.min(api.deadlines.max)))
    }
}

/// Digits only; a number beyond `u64` counts as `u64::MAX`.
fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}
