//! Uploads: checks the headers, waits for memory, then reads the body within its size limit and timeout.

use super::{headers, multipart, query};
use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::media::{BodyFormat, body_format};
use crate::pipeline::{Admission, Stated};
use axum::extract::Request;
use axum::http::header;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use std::time::Instant;
use utoipa::IntoParams;

/// Allowance for everything but the image in a form.
const FORM_OVERHEAD_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) image: Bytes,
    pub(crate) stated: Stated,
    pub(crate) explain: bool,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PredictionQuery {
    /// Age in years (`7`, `0.5`) or as a DICOM age string (`045Y`, `006M`).
    age: Option<String>,
    /// DICOM View Position: `PA`, `AP`, `LL` or `RL`.
    view: Option<String>,
    /// DICOM Modality: `CR`, `DX` or `RG`.
    modality: Option<String>,
    /// Adds a heatmap to the answer. `1`, `yes` and `on` mean `true`; case does not matter.
    #[serde(deserialize_with = "query::boolean")]
    explain: bool,
}

const TAKES: query::Takes = &[
    ("age", "an age in years or a DICOM age string"),
    ("view", "PA, AP, LL or RL"),
    ("modality", "CR, DX or RG"),
    ("explain", "true or false"),
];

impl Upload {
    /// Reads the upload until the deadline or for `service.http.body_timeout_ms`, whichever ends first.
    pub(crate) async fn receive(
        request: Request,
        api: &Shared,
        deadline: Instant,
        admission: &mut Admission,
    ) -> Result<Self, ApiError> {
        let parameters: PredictionQuery = query::read(request.uri().query(), TAKES)?;
        let body_format = body_format(request.headers())?;
        let limit_bytes = api.pipeline.limits.max_bytes;
        let body_limit = match body_format {
            BodyFormat::Raw => limit_bytes,
            BodyFormat::Multipart => limit_bytes.saturating_add(FORM_OVERHEAD_BYTES),
        };
        let declared = declared_length(&request);
        if declared.is_some_and(|length| length > body_limit as u64) {
            return Err(ApiError::BodyTooLarge { limit_bytes });
        }
        let subject = headers::subject(request.headers())?;
        let [age, view, modality] =
            [parameters.age, parameters.view, parameters.modality].map(|text| text.and_then(query::filled));
        let stated = Stated { subject, age, view, modality };
        let request = request.map(|body| axum::body::Body::new(Limited::new(body, body_limit)));
        let receive = async {
            match body_format {
                BodyFormat::Raw => Ok((raw(request, declared, limit_bytes).await?, stated)),
                BodyFormat::Multipart => multipart::read(request, limit_bytes, stated).await,
            }
        };
        // Without Content-Length the body may reach the limit.
        let bytes = declared.unwrap_or(body_limit as u64);
        let memory = admission.reserve_upload(bytes, &api.uploads);
        match tokio::time::timeout_at(deadline.into(), memory).await {
            Ok(true) => {}
            Ok(false) => return Err(ApiError::ClientAtLimit),
            Err(_) => return Err(ApiError::Overloaded),
        }
        let body_deadline = Instant::now() + api.body_timeout;
        let received = tokio::time::timeout_at(body_deadline.min(deadline).into(), receive).await;
        let timed_out = ApiError::BodyTimeout { by_deadline: deadline < body_deadline };
        let (image, stated) = received.map_err(|_| timed_out)??;
        Ok(Self { image, stated, explain: parameters.explain })
    }
}

fn declared_length(request: &Request) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Appends each frame as it arrives: collecting the frames first would hold the body twice.
async fn raw(request: Request, declared: Option<u64>, limit_bytes: usize) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::with_capacity(declared.map_or(0, |length| length as usize));
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(error) if multipart::caused_by::<LengthLimitError>(&error) => {
                return Err(ApiError::BodyTooLarge { limit_bytes });
            }
            Err(_) => {
                let malformed =
                    "the body ended before Content-Length or the last chunk, or a chunk is malformed";
                return Err(ApiError::Malformed(malformed));
            }
        }
    }
    Ok(read.freeze())
}
