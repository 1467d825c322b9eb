//! A header of ours may be given single: of two, nobody could say which counts.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header was given more than single.
pub(crate) struct Repeated;

/// The value of a header, if it is there.
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
