//! The target of a request: exactly one host, and a path whose trailing slash is ignored.

use crate::http::error::ApiError;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Uri, Version, header};

/// The API browser keeps its slash: its pages refer to their files relative to it.
const BROWSER: &str = "/docs/";

/// HTTP/1.1 requires exactly one Host (RFC 9112, 3.2). With two, a proxy could use the other one.
pub(crate) fn check_host(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let n = headers.get_all(header::HOST).iter().count();
    match version {
        Version::HTTP_11 if n != 1 => Err(ApiError::Malformed("send exactly one Host header")),
        _ if n > 1 => Err(ApiError::Malformed("send at most one Host header")),
        _ => Ok(()),
    }
}

/// Removes one trailing slash from the path, before routing.
pub(crate) fn without_slash(mut request: Request) -> Request {
    if let Some(uri) = bare(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The URI without the trailing slash; `None` if it stays as it is.
fn bare(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty())?;
    if path.starts_with(BROWSER) {
        return None;
    }
    let text = match uri.query() {
        Some(query) => format!("{bare}?{query}"),
        None => bare.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn one_trailing_slash_is_ignored() {
        let stripped = |text: &str| bare(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(stripped("/v1/model/"), Some("/v1/model".into()));
        assert_eq!(
            stripped("https://cxr.example/v1/predictions/?limit=1"),
            Some("https://cxr.example/v1/predictions?limit=1".into())
        );
        assert_eq!(stripped("/v1/model//"), Some("/v1/model/".into()));
        for kept in ["/", "/v1/model", "/docs/", "/docs/x/", "*"] {
            assert_eq!(stripped(kept), None, "{kept}");
        }
    }

    #[test]
    fn a_request_of_http_1_1_has_one_host() {
        let check = |version, n: usize| {
            let mut headers = HeaderMap::new();
            for _ in 0..n {
                headers.append(header::HOST, HeaderValue::from_static("a"));
            }
            check_host(version, &headers).is_ok()
        };
        assert_eq!([0, 1, 2].map(|n| check(Version::HTTP_11, n)), [false, true, false]);
        assert_eq!([0, 1, 2].map(|n| check(Version::HTTP_10, n)), [true, true, false]);
        assert_eq!([0, 1, 2].map(|n| check(Version::HTTP_2, n)), [true, true, false]);
    }
}
