//! `/openapi.json` and the API browser under `/docs`, from files that are part of the program.

use axum::http::header;
use axum::response::IntoResponse;
use axum::{Extension, Router};
use bytes::Bytes;
use utoipa::openapi::OpenApi as Document;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The description, written out once and shared by all answers.
#[derive(Clone)]
pub(super) struct Text(Bytes);

impl Text {
    pub(super) fn new(document: &Document) -> Self {
        Self(document.to_pretty_json().unwrap_or_default().into())
    }
}

/// This description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    security(()),
    responses((status = 200, description = "OpenAPI document", body = Object, content_type = "application/json"))
)]
pub(super) async fn openapi(Extension(text): Extension<Text>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.0)
}

pub(super) fn swagger<S: Clone + Send + Sync + 'static>() -> Router<S> {
    SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into()
}
