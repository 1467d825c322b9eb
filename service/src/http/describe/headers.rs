//! The headers that answers carry, in the API description: which depends on the status alone, so they are added to all.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ObjectBuilder, OpenApi, RefOr, Type};

/// Adds them to every response.
pub(crate) fn describe(document: &mut OpenApi) {
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        operations.into_iter().flatten().for_each(describe_operation);
    }
}

fn describe_operation(operation: &mut Operation) {
    let predicts = operation.operation_id.as_deref() == Some("createPrediction");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, what: &str| {
            response.headers.insert(name.to_owned(), header(what).into());
        };
        add("X-Request-Id", "Identifies the request in the service's log");
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
