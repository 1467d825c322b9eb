//! Headers that may occur once: with two values, neither could be trusted.

use crate::http::error::ApiError;
use axum::http::{HeaderMap, HeaderValue};

/// Parses the header, if present. `malformed` is the detail of the error if it occurs twice or `parse` fails.
pub(crate) fn single<T>(
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
