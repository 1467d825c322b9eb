//! `X-Subject-Id`: the identifier of a patient. It is used to derive the pseudonym and never stored or
//! logged.

use crate::config::secret::Secret;
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::header::single;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use utoipa::IntoParams;

/// The same limit as for the part `subject` of a form.
const MAX_BYTES: usize = 256;

/// The identifier of a search's patient.
pub(crate) struct Subject(pub(crate) Option<Secret>);

/// The header in the API description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header in the API document")]
pub(crate) struct SubjectHeader {
    /// Identifier of the patient, such as a medical record number with its issuer; 1 to 256 bytes. It is a
    /// header because proxies log URLs. The service stores only a pseudonym, which can no longer be linked to
    /// the patient after the subject is erased.
    #[param(rename = "X-Subject-Id", min_length = 1, max_length = 256)]
    subject: Option<String>,
}

impl FromRequestParts<Shared> for Subject {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, ApiError> {
        stated(&parts.headers).map(Self)
    }
}

/// The value of the header, if present.
pub(crate) fn stated(headers: &HeaderMap) -> Result<Option<Secret>, ApiError> {
    let malformed = "X-Subject-Id must occur at most once, with 1 to 256 bytes of UTF-8";
    single(headers, "x-subject-id", malformed, |value: &HeaderValue| {
        let text = std::str::from_utf8(value.as_bytes()).ok()?.trim();
        (1..=MAX_BYTES).contains(&text.len()).then(|| Secret::from(text))
    })
}
