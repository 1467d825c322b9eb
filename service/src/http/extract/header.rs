//! A header of ours may be given once: of two, nobody could say which counts.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header was given more than once.
pub(crate) struct Twice;

/// The value of a header, if it is there.
pub(crate) fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Twice> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Twice),
    }
}
