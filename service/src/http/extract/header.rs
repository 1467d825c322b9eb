//! Headers that may occur once: of two values, neither could be trusted.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header occurs more than once.
pub(crate) struct Repeated;

/// The value of the header, if present.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Repeated),
    }
}
