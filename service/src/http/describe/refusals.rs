//! The answers that do not come from a handler, in the API description: added to every operation that does not describe them itself.

use crate::http::error::Problem;
use utoipa::ToSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Adds them.
pub(crate) fn describe(document: &mut OpenApi) {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        operations.into_iter().flatten().for_each(describe_operation);
    }
}

fn describe_operation(operation: &mut Operation) {
    // What is public is so for everybody alike.
    let of_a_client = operation.responses.responses.contains_key("401");
    let mut add = |status: &str, what: &str| {
        let absent = operation.responses.responses.entry(status.to_owned());
        absent.or_insert_with(|| RefOr::T(problem(what)));
    };
    // A panic is caught and answered (http/observe.rs).
    add("500", "Internal error");
    if of_a_client {
        // http/access.rs
        add("429", "Rate limit exceeded");
        add("503", "Token keys unavailable");
    }
}

fn problem(what: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    ResponseBuilder::new().description(what).content("application/problem+json", content).build()
}
