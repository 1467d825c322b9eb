//! All errors that a client can get: one exhaustive match from cause to status, code and title.
//!
//! Answers never hold a file name, a body, an identifier or a secret; the cause goes to the log.

use super::extract::headers;
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
pub const REFUSAL_CODES: &[&str] = &[
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
    AlarmNotFound,
    AlarmUnchanged,
    ReloadBusy,
    ReloadRejected { cause: String },
    AuditUnavailable,
    ModelUnavailable,
    NotReady(Vec<FailedCheck>),
}

impl ApiError {
    /// Status, code and title: the table in docs/ERRORS.md.
    pub(crate) const fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed(_) | Self::Parameter { .. } | Self::Query { .. } => {
                (400, "malformed_request", "Malformed request")
            }
            Self::MissingToken => (401, "unauthenticated", "Bearer token required"),
            Self::InvalidToken(_) => (401, "unauthenticated", "Invalid bearer token"),
            Self::InsufficientScope(_) => (403, "forbidden", "Insufficient scope"),
            Self::UnknownRoute | Self::OtherAddress { .. } => (404, "not_found", "Not found"),
            Self::PredictionNotFound => (404, "not_found", "Prediction not found"),
            Self::AlarmNotFound => (404, "not_found", "Alarm not found"),
            Self::NotSequenced => (404, "not_sequenced", "Row not in this checkpoint"),
            Self::NoCheckpoint => (404, "no_checkpoint", "Checkpoint not found"),
            Self::MethodNotAllowed { .. } => (405, "method_not_allowed", "Method not allowed"),
            Self::BodyTimeout { .. } => (408, "request_timeout", "Request body timed out"),
            Self::KeyInProgress => (409, "idempotency_key_under_way", "Request in progress"),
            Self::AlarmUnchanged => (409, "alarm_unchanged", "Nothing has changed since the alarm"),
            Self::ReloadBusy => (409, "reload_under_way", "Reload in progress"),
            Self::BodyTooLarge { .. } => (413, "payload_too_large", "Image too large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type", "Unsupported media type"),
            Self::Rejected { .. } | Self::ReplayedRejection { .. } => (422, "rejected", "Image rejected"),
            Self::KeyReused => (422, "idempotency_key_reused", "Idempotency key already used"),
            Self::ReloadRejected { .. } => {
                (422, "model_refused", "Bundle rejected; the current model keeps serving")
            }
            Self::ClientAtLimit | Self::RateLimited(_) => (429, "client_limit", "Rate limit exceeded"),
            Self::Overloaded => (429, "too_many_requests", "Too many images in flight"),
            Self::StoredAnswerChanged => (500, "earlier_answer_changed", "Stored answer changed"),
            Self::Failed { .. } => (500, "internal", "Internal error"),
            Self::AuditUnavailable => (503, "audit_unavailable", "Audit log unavailable"),
            Self::KeysUnavailable => (503, "keys_unavailable", "Token keys unavailable"),
            Self::ModelUnavailable => (503, "model_unavailable", "Model unavailable"),
            Self::NotReady(_) => (503, "not_ready", "Not ready"),
            Self::DeadlineExceeded { .. } => (504, "deadline_exceeded", "Deadline exceeded"),
        }
    }

    /// What is wrong and how to fix it.
    pub(super) fn detail(&self) -> String {
        let text = match self {
            Self::Malformed(what) => what,
            Self::Parameter { parameter, takes } => {
                return format!("the query parameter {parameter} must be {takes}");
            }
            Self::Query { parameters } => {
                return format!("the query parameters are {}, each at most once", parameters.join(", "));
            }
            Self::MissingToken => "send exactly one header Authorization: Bearer <token>",
            Self::InvalidToken(error) => {
                let advice =
                    "get a new token, or ask the operator of the identity provider to correct its tokens";
                return format!("{error}; {advice}");
            }
            Self::KeysUnavailable => {
                "the identity provider's keys are unavailable; retry after the time in Retry-After"
            }
            Self::InsufficientScope(scope) => {
                return format!("the token must grant the scope {}", scope.name());
            }
            Self::OtherAddress { key } => {
                return format!("this path is served on another address: see {key}");
            }
            Self::UnknownRoute => "see /openapi.json for the paths",
            Self::PredictionNotFound => "use the id from an answer or a problem document",
            Self::AlarmNotFound => "use the id from GET /v1/monitoring/alarms",
            Self::AlarmUnchanged => {
                "approve a baseline that holds now, or change the model, and resolve the alarm then; acknowledge \
                 it until then"
            }
            Self::NotSequenced => {
                "the row is committed and enters the tree within seconds; retry after the time in \
                 Retry-After, or ask for a larger tree_size"
            }
            Self::NoCheckpoint => {
                "no checkpoint of this size; omit the size to get the newest checkpoint; an empty log has \
                 none"
            }
            Self::MethodNotAllowed { allow } => return format!("this path supports {allow}"),
            Self::BodyTimeout { by_deadline: false } => {
                "send the body without pauses, over a faster connection if necessary"
            }
            Self::BodyTimeout { by_deadline: true } => {
                "the deadline passed while the body was arriving; send it without pauses, or set a longer \
                 X-Request-Timeout-Ms"
            }
            Self::BodyTooLarge { limit_bytes } => {
                let advice = "send the image compressed, or at the resolution it was acquired at";
                return format!("the limit is {limit_bytes} bytes; {advice}");
            }
            Self::UnsupportedMediaType => {
                "use image/jpeg, image/png, image/tiff, application/octet-stream or no Content-Type (curl: \
                 -H 'Content-Type: image/jpeg'), or a form with the image in the part file; Content-Encoding \
                 must be identity or absent"
            }
            Self::Rejected { rejection, .. } => return format!("{}; {}", rejection.found, rejection.advice),
            Self::ReplayedRejection { detail, .. } => detail,
            Self::KeyInProgress => {
                "the first request with this Idempotency-Key is still in progress; retry after the time in \
                 Retry-After"
            }
            Self::KeyReused => {
                "this Idempotency-Key was used with different content; use a new key for each request"
            }
            Self::StoredAnswerChanged => {
                "the stored answer for this Idempotency-Key is missing or was changed, so it is not replayed; \
                 report the request_id, and send the image with a new key"
            }
            Self::Overloaded => "all slots are in use; retry after the time in Retry-After",
            Self::ClientAtLimit => {
                "this client has reached its limit of images in flight; wait for an answer before sending \
                 the next image"
            }
            Self::RateLimited(standing) => {
                return format!(
                    "this client may send {} requests in {} s; retry after the time in Retry-After",
                    standing.burst,
                    standing.window.as_secs_f64().ceil()
                );
            }
            Self::DeadlineExceeded { .. } => {
                "the model had not started on the image by the deadline; retry when the service is less \
                 busy, or set a longer X-Request-Timeout-Ms"
            }
            Self::ReloadBusy => "retry when it has finished; GET /v1/model shows the current model",
            Self::ReloadRejected { cause } => return format!("{cause}; fix the bundle and retry"),
            Self::Failed { .. } => "retry; if it fails again, report the request_id",
            Self::AuditUnavailable => {
                "the audit log did not confirm the row or the read, so the answer is withheld; retry after \
                 the time in Retry-After"
            }
            Self::ModelUnavailable => "the model cannot run; /readyz gives the cause",
            Self::NotReady(failed) => {
                let causes = failed.iter().map(|failed| format!("{}: {}", failed.check, failed.cause));
                return causes.collect::<Vec<_>>().join("; ");
            }
        };
        text.to_owned()
    }

    fn header(&self) -> Option<(HeaderName, String)> {
        let (name, value) = match self {
            // Without a token the challenge has no error code (RFC 6750, 3.1).
            Self::MissingToken => (header::WWW_AUTHENTICATE, r#"Bearer realm="cxr""#.into()),
            Self::InvalidToken(error) => {
                let challenge = format!(r#"error="invalid_token", error_description="{error}""#);
                (header::WWW_AUTHENTICATE, format!(r#"Bearer realm="cxr", {challenge}"#))
            }
            Self::InsufficientScope(scope) => {
                let challenge = format!(r#"error="insufficient_scope", scope="{}""#, scope.name());
                (header::WWW_AUTHENTICATE, format!(r#"Bearer realm="cxr", {challenge}"#))
            }
            Self::MethodNotAllowed { allow } => (header::ALLOW, allow.clone()),
            Self::RateLimited(standing) => {
                let seconds = standing.retry_after.as_secs_f64().ceil().max(1.0);
                (header::RETRY_AFTER, seconds.to_string())
            }
            Self::Overloaded
            | Self::ClientAtLimit
            | Self::DeadlineExceeded { .. }
            | Self::KeyInProgress
            | Self::ReloadBusy
            | Self::NotSequenced => (header::RETRY_AFTER, "1".into()),
            Self::AuditUnavailable | Self::ModelUnavailable | Self::KeysUnavailable | Self::NotReady(_) => {
                (header::RETRY_AFTER, "5".into())
            }
            _ => return None,
        };
        Some((name, value))
    }
}

impl IntoResponse for ApiError {
    /// The document is an extension of the response; `observe` adds the request id and writes the body.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if let Some((name, value)) = self.header()
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        if let Self::RateLimited(standing) = &self {
            access::set_rate_limit_headers(standing, response.headers_mut());
        }
        if matches!(self, Self::ReplayedRejection { .. }) {
            response.headers_mut().insert(headers::REPLAYED, HeaderValue::from_static("true"));
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
                Self::ReloadRejected { cause: chain(&error) }
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
