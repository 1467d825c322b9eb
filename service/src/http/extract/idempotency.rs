//! `Idempotency-Key`: a retry with the same key gets the first answer and no second audit row.

use crate::config::secret::Secret;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::header::single;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use utoipa::IntoParams;

/// Marks a replayed answer.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const MAX_BYTES: usize = 255;

/// The key. A client can put anything into it, even a patient's name, so it is handled like a secret.
pub(crate) struct IdempotencyKey(pub(crate) Option<Secret>);

/// The header in the API description.
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
    ((1..=MAX_BYTES).contains(&bare.len()) && visible).then_some(bare)
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
