//! The API description: title, security scheme, and the errors and headers that all operations share.

use super::middleware::access;
use super::problem::Problem;
use crate::auth::Scope;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder, Type,
};
use utoipa::{Modify, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cxr",
        description = "Classifies chest radiographs for pneumonia and returns calibrated, audited predictions. \
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

/// Adds what no operation describes itself.
pub(super) fn complete(mut document: Document) -> Document {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            add_errors(operation);
            add_headers(operation);
        }
    }
    document
}

/// Adds the errors that come from the middleware, and makes every error a problem document.
fn add_errors(operation: &mut Operation) {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let security = serde_json::to_value(&operation.security).unwrap_or_default();
    let scopes = security.pointer("/0").and_then(|requirement| requirement.get(access::SCHEME));
    let responses = &mut operation.responses.responses;
    let mut add = |status: &str, description: &str| {
        let response = || RefOr::T(ResponseBuilder::new().description(description).build());
        responses.entry(status.to_owned()).or_insert_with(response);
    };
    add("500", "Internal error");
    if let Some(scopes) = scopes {
        add("401", "Missing or invalid token");
        add("429", "Rate limit exceeded");
        add("503", "Token keys unavailable");
        if scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
            add("403", "Insufficient scope");
        }
    }
    for (status, response) in responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            response.content.insert("application/problem+json".to_owned(), RefOr::T(problem.clone()));
        }
    }
}

/// Adds the headers to every response of the operation.
fn add_headers(operation: &mut Operation) {
    let predicts = operation.operation_id.as_deref() == Some("createPrediction");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, what: &str| {
            response.headers.insert(name.to_owned(), header(what).into());
        };
        add("X-Request-Id", "Identifies the request in the service's log");
        add("Traceparent", "The trace of this request and its span in the service (W3C Trace Context)");
        if predicts && matches!(status.as_str(), "200" | "422") {
            add("Idempotency-Replayed", "`true` if this is the stored first answer for the Idempotency-Key");
        }
        match status.as_str() {
            "200" if predicts => {
                add(
                    "Server-Timing",
                    "Milliseconds by phase: admission, decode, preprocess, queue, infer, audit, total",
                );
            }
            "401" | "403" => add("WWW-Authenticate", "What is wrong with the token (RFC 6750)"),
            "409" | "429" | "503" | "504" => {
                add("Retry-After", "Seconds to wait before the next attempt");
            }
            _ => {}
        }
    }
}

fn header(what: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    HeaderBuilder::new().schema(Some(text)).description(Some(what)).build()
}
