//! Security headers: those of every answer, and those of the API browser's pages.

use axum::http::{HeaderName, HeaderValue, header};
use tower_http::set_header::SetResponseHeaderLayer;

type Set = SetResponseHeaderLayer<HeaderValue>;

const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// For every answer: it is about a patient, so no cache stores it; it is not a page, so a browser may neither
/// load anything for it, nor frame it, nor guess its type. An answer with headers of its own keeps them.
pub(crate) fn of_answers() -> (Set, Set, Set) {
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    (
        Set::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        Set::if_not_present(header::CONTENT_SECURITY_POLICY, policy),
        Set::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    )
}

/// For the API browser: its own files and this service only. Swagger UI sets inline styles and data: images.
pub(crate) fn of_pages() -> (Set, Set, Set, Set) {
    let policy = HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    (
        Set::overriding(header::CONTENT_SECURITY_POLICY, policy),
        Set::overriding(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        Set::overriding(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        Set::overriding(COOP, HeaderValue::from_static("same-origin")),
    )
}
