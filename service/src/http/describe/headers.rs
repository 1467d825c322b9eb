//! Response headers in the API description. They depend on the status, so no operation lists them.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ObjectBuilder, RefOr, Type};

/// Adds the headers to every response of the operation.
pub(super) fn describe(operation: &mut Operation) {
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
