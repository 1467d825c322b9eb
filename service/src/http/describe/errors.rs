//! Error responses in the API description. An operation describes only the ones that are its own, by status
//! and description; what holds for every operation follows here.

use crate::http::middleware::access::SCHEME;
use crate::http::problem::Problem;
use utoipa::ToSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, ResponseBuilder};

/// Adds the errors that come from the middleware, and makes every error a problem document.
pub(super) fn describe(operation: &mut Operation) {
    let security = serde_json::to_value(&operation.security).unwrap_or_default();
    let scopes = security.pointer("/0").and_then(|requirement| requirement.get(SCHEME));
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
            response.content.insert("application/problem+json".to_owned(), RefOr::T(problem()));
        }
    }
}

fn problem() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build()
}
