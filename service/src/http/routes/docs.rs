//! `/openapi.json`, and the API browser under `/docs`, whose files are compiled in.

use crate::http::middleware::response_headers;
use axum::http::header;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use bytes::Bytes;
use utoipa::openapi::OpenApi as Document;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The description as JSON, rendered once.
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

/// The API browser. Its validator would be a service on the internet, so it is switched off.
pub(crate) fn swagger<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pages: Router<S> =
        SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none")).into();
    pages.layer(response_headers::of_pages())
}
