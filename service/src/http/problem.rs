//! Problem documents (RFC 9457): the body of every error.

use super::error::ApiError;
use super::receipt::Receipt;
use crate::readiness::FailedCheck;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

const TYPE_PREFIX: &str = "urn:cxr:problem:";

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:cxr:problem:` followed by a stable code.
    #[serde(rename = "type")]
    #[schema(example = "urn:cxr:problem:rejected")]
    type_uri: String,
    /// Short description of the error.
    title: &'static str,
    /// HTTP status code.
    status: u16,
    /// What is wrong and how to fix it.
    pub(crate) detail: String,
    /// Identifies the request in the service's log.
    pub(crate) request_id: String,
    /// Why the image was rejected: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Id of the audit row, if one was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    /// Signed proof that the audit row was committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    /// The readiness checks that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<ProblemCheck>,
}

/// A failed readiness check.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct ProblemCheck {
    /// `model`, `database`, `schema`, `clock`, `keys` or `shutdown`.
    check: &'static str,
    /// What is wrong and how to fix it.
    cause: String,
}

impl From<FailedCheck> for ProblemCheck {
    fn from(FailedCheck { check, cause }: FailedCheck) -> Self {
        Self { check, cause }
    }
}

impl Problem {
    /// The stable code, without its prefix.
    pub(crate) fn code(&self) -> &str {
        self.type_uri.strip_prefix(TYPE_PREFIX).unwrap_or_default()
    }

    pub(crate) fn write_to(&self, response: &mut Response) {
        *response.body_mut() = Body::from(serde_json::to_vec(self).unwrap_or_default());
        let media_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
}

impl From<&ApiError> for Problem {
    fn from(error: &ApiError) -> Self {
        let (status, code, title) = error.kind();
        let row = match error {
            ApiError::Rejected { row, .. }
            | ApiError::ReplayedRejection { row, .. }
            | ApiError::DeadlineExceeded { row } => Some(&**row),
            ApiError::Failed { row } => row.as_deref(),
            _ => None,
        };
        let failed = if let ApiError::NotReady(failed) = error { failed.as_slice() } else { &[] };
        Self {
            type_uri: format!("{TYPE_PREFIX}{code}"),
            title,
            status,
            detail: error.detail(),
            request_id: String::new(),
            reason: match error {
                ApiError::Rejected { rejection, .. } => Some(rejection.reason.code().to_owned()),
                ApiError::ReplayedRejection { reason, .. } => Some(reason.clone()),
                _ => None,
            },
            id: row.map(|row| row.id),
            receipt: row.map(|row| row.receipt.clone()),
            checks: failed.iter().cloned().map(ProblemCheck::from).collect(),
        }
    }
}
