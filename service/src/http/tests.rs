//! The API description and the error table.

use super::*;
use crate::auth::{Scope, TokenError};
use crate::http::error::{ApiError, REFUSAL_CODES};
use crate::http::receipt::CommittedRow;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use cxr::{RejectReason, Rejection};

/// Client errors after admission, which have an audit row or a log line of their own.
const AFTER_ADMISSION: [&str; 5] =
    ["rejected", "reload_under_way", "model_refused", "not_sequenced", "no_checkpoint"];

fn every_error() -> Vec<ApiError> {
    let rejection = Rejection::new(RejectReason::Blank, "found", "advice");
    vec![
        ApiError::MissingToken,
        ApiError::InvalidToken(TokenError::Expired),
        ApiError::KeysUnavailable,
        ApiError::InsufficientScope(Scope::Predict),
        ApiError::UnknownRoute,
        ApiError::OtherAddress { key: "service.http.operations_bind" },
        ApiError::MethodNotAllowed { allow: "GET".into() },
        ApiError::Malformed("what"),
        ApiError::BodyTimeout { by_deadline: true },
        ApiError::BodyTooLarge { limit_bytes: 1 },
        ApiError::UnsupportedMediaType,
        ApiError::Overloaded,
        ApiError::ClientAtLimit,
        ApiError::Rejected { row: Box::new(CommittedRow::nothing()), rejection },
        ApiError::PredictionNotFound,
        ApiError::NotSequenced,
        ApiError::NoCheckpoint,
        ApiError::StoredAnswerChanged,
        ApiError::Failed { row: None },
        ApiError::DeadlineExceeded { row: Box::new(CommittedRow::nothing()) },
        ApiError::ReloadBusy,
        ApiError::ReloadRejected { cause: String::new() },
        ApiError::AuditUnavailable,
        ApiError::ModelUnavailable,
        ApiError::NotReady(vec![]),
    ]
}

#[test]
fn every_error_is_documented_and_refusals_are_client_errors() {
    let documentation = include_str!("../../../docs/ERRORS.md");
    for error in every_error() {
        let (status, code, _) = error.kind();
        assert!(
            documentation.contains(&format!("| {status} | `{code}` |")),
            "{code} is not in docs/ERRORS.md"
        );
        let before_admission = REFUSAL_CODES.contains(&code);
        assert_eq!(
            before_admission,
            (400..500).contains(&status) && !AFTER_ADMISSION.contains(&code)
                || ["model_unavailable", "keys_unavailable"].contains(&code),
            "{code}"
        );
    }
    for reason in RejectReason::ALL {
        assert!(
            documentation.contains(&format!("| `{}` |", reason.code())),
            "{reason:?} is not in docs/ERRORS.md"
        );
    }
}

#[test]
fn headers_tell_a_client_what_to_do() {
    let header = |error: ApiError, name: &str| {
        error.into_response().headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header(ApiError::MissingToken, "www-authenticate").unwrap(), r#"Bearer realm="cxr""#);
    let expired = header(ApiError::InvalidToken(TokenError::Expired), "www-authenticate").unwrap();
    assert!(expired.contains(r#"error="invalid_token""#) && expired.contains("expired"));
    let scope = header(ApiError::InsufficientScope(Scope::AuditRead), "www-authenticate").unwrap();
    assert!(scope.contains(r#"error="insufficient_scope", scope="audit:read""#));
    assert_eq!(header(ApiError::Overloaded, "retry-after").unwrap(), "1");
    assert_eq!(
        header(ApiError::MethodNotAllowed { allow: "GET, POST".into() }, "allow").unwrap(),
        "GET, POST"
    );
    assert_eq!(ApiError::AuditUnavailable.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let committed = include_str!("../../../openapi/openapi.json");
    let served = document().to_pretty_json().unwrap();
    assert!(committed.trim_end() == served, "run: cxr-service openapi > openapi/openapi.json");
}
