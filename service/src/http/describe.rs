//! The API description: its head, its security scheme, and what holds for every operation and is not said again at each.

mod headers;
mod refusals;

use super::middleware::access;
use crate::auth::Scope;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cxr",
        description = "Reads chest radiographs for pneumonia and returns calibrated, audited predictions. \
            Errors are problem documents (RFC 9457); docs/ERRORS.md lists them."
    ),
    modifiers(&BearerScheme)
)]
struct Described;

struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, document: &mut Document) {
        let scopes: Vec<String> =
            Scope::ALL.iter().map(|(scope, what)| format!("`{}`: {what}", scope.name())).collect();
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".into());
        scheme.description =
            Some(format!("A JWT from the configured issuer. Scopes: {}.", scopes.join("; ")));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme(access::SCHEME, SecurityScheme::Http(scheme));
    }
}

/// The document without operations.
pub(super) fn head() -> Document {
    Described::openapi()
}

/// With what holds for every route.
pub(super) fn completed(mut document: Document) -> Document {
    refusals::describe(&mut document);
    headers::describe(&mut document);
    document
}
