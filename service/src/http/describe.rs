//! The API description: title, security scheme, and the errors and headers that all operations share.

mod errors;
mod headers;

use super::middleware::access;
use super::problem::Problem;
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
    components(schemas(Problem)),
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

/// The description without operations.
pub(super) fn base() -> Document {
    Described::openapi()
}

/// Adds the errors and headers that all operations share.
pub(super) fn complete(mut document: Document) -> Document {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            errors::describe(operation);
            headers::describe(operation);
        }
    }
    document
}
