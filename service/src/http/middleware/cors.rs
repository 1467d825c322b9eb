//! CORS (Fetch standard): which web pages may call the API. None unless the configuration lists their
//! origins.

use crate::config::cors::CorsConfig;
use crate::http::extract::headers;
use axum::http::{HeaderName, HeaderValue, Method, header};
use std::time::Duration;
use tower_http::cors::CorsLayer;

/// Headers that a page may send, beyond the CORS-safelisted ones.
const REQUEST_HEADERS: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-request-timeout-ms"),
    HeaderName::from_static("x-subject-id"),
];

/// Headers of an answer that a page may read.
const ANSWER_HEADERS: [HeaderName; 8] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    headers::REPLAYED,
];

/// The layer, if any origin is allowed. No credentials: pages send the token themselves, and cookies have no
/// meaning.
pub(crate) fn layer(config: &CorsConfig) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        config.allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(ANSWER_HEADERS)
            .max_age(Duration::from_secs(config.max_age_seconds.get().into()))
    })
}
