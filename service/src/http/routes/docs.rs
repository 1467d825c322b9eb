//! `/openapi.json` and the API browser under `/docs`, from files that are part of the program.

use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use bytes::Bytes;
use utoipa::openapi::OpenApi as Document;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The description, written out once and shared by all answers.
#[derive(Clone)]
pub(crate) struct Text(Bytes);

impl Text {
    pub(crate) fn new(document: &Document) -> Self {
        Self(document.to_pretty_json().unwrap_or_default().into())
    }
}

/// The OpenAPI description of this API.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    security(()),
    responses((status = 200, description = "OpenAPI document", body = Object, content_type = "application/json"))
)]
pub(crate) async fn openapi(Extension(text): Extension<Text>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.0)
}

/// Its files and this service, nothing else; in no frame. Swagger UI sets styles and holds its pictures in the style sheet.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Answers are shown by no page: what a browser is sent directly may load nothing and stand in no frame.
pub(crate) const POLICY_OF_ANSWERS: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The API browser. Its validator is a service on the internet, which is not asked.
pub(crate) fn swagger<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pages: Router<S> =
        SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none")).into();
    pages.layer(map_response(guarded))
}

async fn guarded(mut page: Response) -> Response {
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    page
}
