//! Request headers that clients may set once each: the deadline, the idempotency key and the patient.

use crate::config::secret::Secret;
use crate::http::Shared;
use crate::http::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use utoipa::IntoParams;

/// As for the part `subject` of a form.
const MAX_SUBJECT_BYTES: usize = 256;

/// Parses the header, if present. `malformed` is the detail of the error if `parse` fails or the header
/// occurs twice: neither of the values could be trusted.
fn single<T>(
    headers: &HeaderMap,
    name: &'static str,
    malformed: &'static str,
    parse: impl FnOnce(&HeaderValue) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let parsed = if values.next().is_none() { parse(value) } else { None };
    parsed.map(Some).ok_or(ApiError::Malformed(malformed))
}

/// Time from the request's head within which the model must start.
pub(crate) struct RequestTimeout(pub(crate) Duration);

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

/// Marks a replayed answer.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The key. A client can put anything into it, even a patient's name, so it is handled like a secret.
pub(crate) struct IdempotencyKey(pub(crate) Option<Secret>);

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header in the API document")]
pub(crate) struct IdempotencyHeader {
    /// Identifies the request: 1 to 255 visible ASCII characters, such as a UUID, with or without quotation
    /// marks. A retry with the same key and content returns the first answer, with `Idempotency-Replayed:
    /// true`, for as long as the service stores it.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        example = "8e03978e-40d5-43e8-bc93-6894a57f9324"
    )]
    key: Option<String>,
}

impl FromRequestParts<Shared> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, ApiError> {
        let malformed = "Idempotency-Key must occur at most once, with 1 to 255 visible ASCII characters";
        let parse = |value: &HeaderValue| value.to_str().ok().and_then(key).map(Secret::from);
        single(&parts.headers, "idempotency-key", malformed, parse).map(Self)
    }
}

/// Strips the quotation marks of a structured field; most clients send none.
fn key(text: &str) -> Option<&str> {
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let visible = bare.bytes().all(|byte| byte.is_ascii_graphic());
    ((1..=255).contains(&bare.len()) && visible).then_some(bare)
}

/// The identifier of a search's patient.
pub(crate) struct Subject(pub(crate) Option<Secret>);

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header in the API document")]
pub(crate) struct SubjectHeader {
    /// Identifier of the patient, such as a medical record number with its issuer; 1 to 256 bytes. It is a
    /// header because proxies log URLs. The service stores only a pseudonym, which can no longer be linked to
    /// the patient after the subject is erased.
    #[param(rename = "X-Subject-Id", min_length = 1, max_length = 256)]
    subject: Option<String>,
}

impl FromRequestParts<Shared> for Subject {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, ApiError> {
        subject(&parts.headers).map(Self)
    }
}

pub(crate) fn subject(headers: &HeaderMap) -> Result<Option<Secret>, ApiError> {
    let malformed = "X-Subject-Id must occur at most once, with 1 to 256 bytes of UTF-8";
    single(headers, "x-subject-id", malformed, |value: &HeaderValue| {
        let text = std::str::from_utf8(value.as_bytes()).ok()?.trim();
        (1..=MAX_SUBJECT_BYTES).contains(&text.len()).then(|| Secret::from(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_of_limited_length() {
        assert_eq!(key("abc"), Some("abc"));
        assert_eq!(key("\"abc\""), Some("abc"));
        for refused in ["", "\"\"", "two words", "tab\t", &"x".repeat(256)] {
            assert_eq!(key(refused), None, "{refused:?}");
        }
    }
}
