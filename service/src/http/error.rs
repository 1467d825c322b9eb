//! All errors that a client can get: one exhaustive match from cause to status, code and title.
//!
//! Answers never hold a file name, a body, an identifier or a secret; the cause goes to the log.

use super::extract::idempotency;
use super::middleware::access;
use super::problem::Problem;
use super::receipt::CommittedRow;
use crate::audit::RecordError;
use crate::auth::{Scope, TokenError};
use crate::pipeline::{PredictionError, Stop};
use crate::quota::Standing;
use crate::readiness::FailedCheck;
use crate::serving::ReloadError;
use crate::store::StoreError;
use crate::telemetry::logs::chain;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cxr::Rejection;
use std::borrow::Cow;

/// Codes of refusals: counted in `cxr_refusals_total`, without an audit row.
pub(crate) const REFUSAL_CODES: &[&str] = &[
    "malformed_request",
    "unauthenticated",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "payload_too_large",
    "unsupported_media_type",
    "too_many_requests",
    "client_limit",
    "model_unavailable",
    "keys_unavailable",
    "idempotency_key_under_way",
    "idempotency_key_reused",
];

/// An error answer.
#[derive(Debug)]
pub(crate) enum ApiError {
    MissingToken,
    InvalidToken(TokenError),
    KeysUnavailable,
    InsufficientScope(Scope),
    UnknownRoute,
    OtherAddress { key: &'static str },
    MethodNotAllowed { allow: String },
    Malformed(&'static str),
    Parameter { parameter: &'static str, takes: Cow<'static, str> },
    Query { parameters: Vec<&'static str> },
    BodyTimeout { by_deadline: bool },
    BodyTooLarge { limit_bytes: usize },
    UnsupportedMediaType,
    Overloaded,
    ClientAtLimit,
    RateLimited(Standing),
    Rejected { row: Box<CommittedRow>, rejection: Rejection },
    PredictionNotFound,
    NotSequenced,
    NoCheckpoint,
    Failed { row: Option<Box<CommittedRow>> },
    DeadlineExceeded { row: Box<CommittedRow> },
    ReplayedRejection { row: Box<CommittedRow>, reason: String, detail: String },
    KeyInProgress,
    KeyReused,
    StoredAnswerChanged,
    ReloadBusy,
    ReloadRefused { cause: String },
    AuditUnavailable,
    ModelUnavailable,
    NotReady(Vec<FailedCheck>),
}

impl ApiError {
    /// Status, code and title: the table in docs/ERRORS.md.
    pub(crate) const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed(_) | Self::Parameter { .. } | Self::Query { .. } => {
                (StatusCode::BAD_REQUEST, "malformed_request", "Malformed request")
            }
            Self::MissingToken => (StatusCode::UNAUTHORIZED, "unauthenticated", "Bearer token required"),
            Self::InvalidToken(_) => (StatusCode::UNAUTHORIZED, "unauthenticated", "Invalid bearer token"),
            Self::KeysUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", "Token keys unavailable")
            }
            Self::InsufficientScope(_) => (StatusCode::FORBIDDEN, "forbidden", "Insufficient scope"),
            Self::UnknownRoute | Self::OtherAddress { .. } => {
                (StatusCode::NOT_FOUND, "not_found", "Not found")
            }
            Self::PredictionNotFound => (StatusCode::NOT_FOUND, "not_found", "Prediction not found"),
            Self::NotSequenced => (StatusCode::NOT_FOUND, "not_sequenced", "Row not in this checkpoint"),
            Self::NoCheckpoint => (StatusCode::NOT_FOUND, "no_checkpoint", "Checkpoint not found"),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
            }
            Self::BodyTimeout { .. } => {
                (StatusCode::REQUEST_TIMEOUT, "request_timeout", "Request body timed out")
            }
            Self::BodyTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "Image too large")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type")
            }
            Self::Rejected { .. } | Self::ReplayedRejection { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "rejected", "Image rejected")
            }
            Self::KeyInProgress => (StatusCode::CONFLICT, "idempotency_key_under_way", "Request in progress"),
            Self::KeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key already used")
            }
            Self::ClientAtLimit | Self::RateLimited(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "client_limit", "Rate limit exceeded")
            }
            Self::Overloaded => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "Too many images in flight")
            }
            Self::DeadlineExceeded { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", "Deadline exceeded")
            }
            Self::ReloadBusy => (StatusCode::CONFLICT, "reload_under_way", "Reload in progress"),
            Self::ReloadRefused { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "model_refused",
                "Bundle rejected; the current model keeps serving",
            ),
            Self::StoredAnswerChanged => {
                (StatusCode::INTERNAL_SERVER_ERROR, "earlier_answer_changed", "Stored answer changed")
            }
            Self::Failed { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::AuditUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", "Audit log unavailable")
            }
            Self::ModelUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "model_unavailable", "Model unavailable")
            }
            Self::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", "Not ready"),
        }
    }

    pub(super) fn detail(&self) -> String {
        match self {
            Self::Malformed(what) => (*what).to_owned(),
            Self::Parameter { parameter, takes } => format!("the query parameter {parameter} must be {takes}"),
            Self::Query { parameters } => format!("the query parameters are {}, each at most once", parameters.join(", ")),
            Self::MissingToken => "send exactly one header Authorization: Bearer <token>".into(),
            Self::InvalidToken(error) => format!("{error}; get a new token, or ask the operator of the identity provider to correct its tokens"),
            Self::KeysUnavailable => "the identity provider's keys are unavailable; retry after the time in Retry-After"
                .into(),
            Self::InsufficientScope(scope) => format!("the token must grant the scope {}", scope.name()),
            Self::OtherAddress { key } => format!("this path is served on another address: see {key}"),
            Self::UnknownRoute => "see /openapi.json for the paths".into(),
            Self::PredictionNotFound => "use the id from an answer or a problem document".into(),
            Self::NotSequenced => "the row is committed and enters the tree within seconds; retry after the time in \
                Retry-After, or ask for a larger tree_size"
                .into(),
            Self::NoCheckpoint => "omit the size to get the newest checkpoint; an empty log has none".into(),
            Self::MethodNotAllowed { allow } => format!("this path supports {allow}"),
            Self::BodyTimeout { by_deadline: false } => {
                "send the body without pauses, over a faster connection if necessary".into()
            }
            Self::BodyTimeout { by_deadline: true } => "the deadline passed while the body was arriving; send it without \
                pauses, or set a longer X-Request-Timeout-Ms"
                .into(),
            Self::BodyTooLarge { limit_bytes } => {
                format!("the limit is {limit_bytes} bytes; send the image compressed, or at the resolution it was acquired at")
            }
            Self::UnsupportedMediaType => "use image/jpeg, image/png, image/tiff, application/octet-stream or no \
                Content-Type (curl: -H 'Content-Type: image/jpeg'), or a form with the image in the part file; \
                Content-Encoding must be identity or absent"
                .into(),
            Self::Rejected { rejection, .. } => format!("{}; {}", rejection.found, rejection.advice),
            Self::ReplayedRejection { detail, .. } => detail.clone(),
            Self::KeyInProgress => "the first request with this Idempotency-Key is still in progress; retry after the time in \
                Retry-After"
                .into(),
            Self::KeyReused => "this Idempotency-Key was used with different content; use a new key for each request".into(),
            Self::StoredAnswerChanged => "the stored answer for this Idempotency-Key is missing or was changed, so it is not replayed; \
                report the request_id, and send the image with a new key"
                .into(),
            Self::Overloaded => "all slots are in use; retry after the time in Retry-After".into(),
            Self::ClientAtLimit => "this client has reached its limit of images in flight; send the next one after \
                the next answer"
                .into(),
            Self::RateLimited(standing) => format!(
                "this client may send {} requests in {} s; retry after the time in Retry-After",
                standing.burst,
                standing.window.as_secs_f64().ceil()
            ),
            Self::DeadlineExceeded { .. } => "the model had not started on the image by the deadline; retry when the service is less \
                busy, or set a longer X-Request-Timeout-Ms"
                .into(),
            Self::ReloadBusy => "retry when it has finished; GET /v1/model shows the current model".into(),
            Self::ReloadRefused { cause } => format!("{cause}; fix the bundle and retry"),
            Self::Failed { .. } => "retry; if it fails again, report the request_id".into(),
            Self::AuditUnavailable => {
                "the service answers only what it has recorded in the audit log; retry after the time in Retry-After".into()
            }
            Self::ModelUnavailable => "the model cannot run; /readyz gives the cause".into(),
            Self::NotReady(checks) => {
                checks.iter().map(|check| format!("{}: {}", check.check, check.cause)).collect::<Vec<_>>().join("; ")
            }
        }
    }

    fn header(&self) -> Option<(HeaderName, String)> {
        match self {
            // Without a token the challenge has no error code (RFC 6750, 3.1).
            Self::MissingToken => Some((header::WWW_AUTHENTICATE, r#"Bearer realm="cxr""#.into())),
            Self::InvalidToken(error) => Some((
                header::WWW_AUTHENTICATE,
                format!(r#"Bearer realm="cxr", error="invalid_token", error_description="{error}""#),
            )),
            Self::InsufficientScope(scope) => Some((
                header::WWW_AUTHENTICATE,
                format!(r#"Bearer realm="cxr", error="insufficient_scope", scope="{}""#, scope.name()),
            )),
            Self::MethodNotAllowed { allow } => Some((header::ALLOW, allow.clone())),
            Self::RateLimited(standing) => {
                let seconds = standing.retry_after.as_secs_f64().ceil().max(1.0);
                Some((header::RETRY_AFTER, seconds.to_string()))
            }
            Self::Overloaded
            | Self::ClientAtLimit
            | Self::DeadlineExceeded { .. }
            | Self::KeyInProgress
            | Self::ReloadBusy
            | Self::NotSequenced => Some((header::RETRY_AFTER, "1".into())),
            Self::AuditUnavailable | Self::ModelUnavailable | Self::KeysUnavailable | Self::NotReady(_) => {
                Some((header::RETRY_AFTER, "5".into()))
            }
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    /// The document is an extension of the response; `observe` adds the request id and writes the body.
    fn into_response(self) -> Response {
        let mut response = self.kind().0.into_response();
        if let Some((name, value)) = self.header()
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        if let Self::RateLimited(standing) = &self {
            access::set_rate_limit_headers(standing, response.headers_mut());
        }
        if matches!(self, Self::ReplayedRejection { .. }) {
            response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
        }
        response.extensions_mut().insert(Problem::from(&self));
        response
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        if error == TokenError::KeysAway { Self::KeysUnavailable } else { Self::InvalidToken(error) }
    }
}

impl From<PredictionError> for ApiError {
    fn from(error: PredictionError) -> Self {
        match error {
            PredictionError::ModelUnavailable => Self::ModelUnavailable,
            PredictionError::KeyInProgress => Self::KeyInProgress,
            PredictionError::KeyReused => Self::KeyReused,
            PredictionError::Lost(_) => Self::Failed { row: None },
            PredictionError::Audit(RecordError::Changed(_)) => Self::StoredAnswerChanged,
            PredictionError::Audit(_) => Self::AuditUnavailable,
            PredictionError::Stopped(stopped) => {
                let (receipt, stop) = stopped.into_parts();
                let row = Box::new(CommittedRow::of(receipt.signed()));
                match stop {
                    Stop::Rejected(rejection) => Self::Rejected { row, rejection },
                    // A client that disconnected gets no answer; the status is for the log.
                    Stop::Cancelled(_) => Self::DeadlineExceeded { row },
                    Stop::Failed(_) => Self::Failed { row: Some(row) },
                }
            }
        }
    }
}

impl From<ReloadError> for ApiError {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Busy => Self::ReloadBusy,
            ReloadError::Rejected(_) | ReloadError::Device(_) | ReloadError::Lost => {
                Self::ReloadRefused { cause: chain(&error) }
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(cause = chain(&error), "audit log unavailable");
        Self::AuditUnavailable
    }
}

/// The fallback of the router.
pub(crate) async fn unknown_route() -> ApiError {
    ApiError::UnknownRoute
}
