//! The surface without a server: the description, the error table, and bodies that linger.

use super::error::{ApiError, REFUSAL_CODES};
use super::lingering::{DrainLimits, LingeringBody};
use super::receipt::Recorded;
use super::*;
use crate::auth::TokenError;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use bytes::Bytes;
use cxr::{RejectReason, Rejection};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Client errors of which some other record speaks.
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
        ApiError::ClientOverloaded,
        ApiError::Rejected { row: Box::new(Recorded::nothing()), rejection },
        ApiError::PredictionNotFound,
        ApiError::NotSequenced,
        ApiError::NoCheckpoint,
        ApiError::AnswerChanged,
        ApiError::Failed { row: None },
        ApiError::Late { row: Box::new(Recorded::nothing()) },
        ApiError::ReloadBusy,
        ApiError::ReloadRefused { cause: String::new() },
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
            documentation.contains(&format!("| {} | `{code}` |", status.as_u16())),
            "{code} is not in docs/ERRORS.md"
        );
        let before_admission = REFUSAL_CODES.contains(&code);
        assert_eq!(
            before_admission,
            status.is_client_error() && !AFTER_ADMISSION.contains(&code)
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

/// An endless body of frames of 100 bytes that counts how many were taken.
fn endless(taken: &Arc<AtomicU64>) -> axum::body::Body {
    let taken = Arc::clone(taken);
    axum::body::Body::from_stream(futures_util::stream::repeat_with(move || {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(Bytes::from_static(&[0; 100]))
    }))
}

#[tokio::test]
async fn a_body_that_is_dropped_unfinished_is_drained_up_to_its_limit() {
    let limits = DrainLimits { bytes: 1000, duration: Duration::from_secs(5) };
    let taken = Arc::default();
    drop(LingeringBody::new(endless(&taken), limits, false));
    while Arc::strong_count(&taken) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(taken.load(Ordering::Relaxed), 11);
}

#[tokio::test]
async fn nothing_is_read_from_a_client_that_waits_for_permission_to_send() {
    let limits = DrainLimits { bytes: 1000, duration: Duration::from_secs(5) };
    let taken = Arc::default();
    drop(LingeringBody::new(endless(&taken), limits, true));
    assert_eq!((Arc::strong_count(&taken), taken.load(Ordering::Relaxed)), (1, 0));
    // Once it was asked to send, it is like any other.
    let mut body = LingeringBody::new(endless(&taken), limits, true);
    body.frame().await.unwrap().unwrap();
    drop(body);
    while Arc::strong_count(&taken) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(taken.load(Ordering::Relaxed), 12);
}

#[tokio::test]
async fn a_body_that_was_read_to_its_end_is_left_alone() {
    let limits = DrainLimits { bytes: 1000, duration: Duration::from_secs(5) };
    let body = LingeringBody::new(axum::body::Body::from("whole"), limits, false);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
}
