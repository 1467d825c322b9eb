//! Forms: the image in the part `file`, and optional text parts. Read to the closing boundary first, so that
//! a truncated form is refused as a whole. An empty text part counts as absent.

mod pieces;

use crate::config::secret::Secret;
use crate::http::error::ApiError;
use crate::http::extract::media::is_image;
use crate::http::extract::query::filled;
use crate::pipeline::Stated;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http_body_util::LengthLimitError;
use pieces::{HeadTooLong, Pieces, Reading};

const MAX_TEXT_BYTES: usize = 256;

/// The image, and `stated` from the query completed by the text parts.
pub(crate) async fn read(
    mut request: Request,
    limit_bytes: usize,
    mut stated: Stated,
) -> Result<(Bytes, Stated), ApiError> {
    let boundary = |_| ApiError::Malformed("the Content-Type has no usable multipart boundary");
    // The caller has limited the body (upload.rs); the limit of the other routes would be too small.
    DefaultBodyLimit::disable().apply(&mut request);
    let reading = Reading::default();
    let request = request.map(|body| Body::new(Pieces::new(body, reading.clone())));
    let mut form = Multipart::from_request(request, &()).await.map_err(boundary)?;
    let mut image = None;
    loop {
        reading.head();
        let next = form.next_field().await.map_err(|error| broken(&error, limit_bytes))?;
        let Some(part) = next else { break };
        reading.content();
        let name = part.name().unwrap_or_default().to_owned();
        let field = match name.as_str() {
            "file" => {
                if part.content_type().is_some_and(|declared| !is_image(declared)) {
                    return Err(ApiError::UnsupportedMediaType);
                }
                let bytes = bytes(part, limit_bytes, limit_bytes).await?;
                if image.replace(bytes).is_some() {
                    let malformed = "the form has two parts named file; send one image per request";
                    return Err(ApiError::Malformed(malformed));
                }
                continue;
            }
            "subject" => {
                let text = text(bytes(part, MAX_TEXT_BYTES, limit_bytes).await?)?;
                let Some(text) = filled(text) else { continue };
                if stated.subject.replace(Secret::from(text.trim())).is_some() {
                    return Err(ApiError::Malformed("give subject once, in a part or in X-Subject-Id"));
                }
                continue;
            }
            "age" => &mut stated.age,
            "view" => &mut stated.view,
            "modality" => &mut stated.modality,
            _ => {
                let malformed = "the form has an unknown part; use file, subject, age, view and modality";
                return Err(ApiError::Malformed(malformed));
            }
        };
        let Some(text) = filled(text(bytes(part, MAX_TEXT_BYTES, limit_bytes).await?)?) else { continue };
        if field.replace(text).is_some() {
            return Err(ApiError::Malformed(
                "give age, view and modality once each, in a part or in the query",
            ));
        }
    }
    let missing = ApiError::Malformed("the form has no part named file; send the image in that part");
    image.map(|image| (image, stated)).ok_or(missing)
}

fn text(bytes: Bytes) -> Result<String, ApiError> {
    String::from_utf8(bytes.into())
        .map_err(|_| ApiError::Malformed("the parts subject, age, view and modality must be UTF-8 text"))
}

async fn bytes(mut part: Field<'_>, max: usize, limit_bytes: usize) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error, limit_bytes))? {
        if read.len() + chunk.len() > max {
            return Err(if max == limit_bytes {
                ApiError::BodyTooLarge { limit_bytes }
            } else {
                ApiError::Malformed("the parts subject, age, view and modality are limited to 256 bytes each")
            });
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

fn broken(error: &MultipartError, limit_bytes: usize) -> ApiError {
    if caused_by::<LengthLimitError>(error) {
        return ApiError::BodyTooLarge { limit_bytes };
    }
    if caused_by::<HeadTooLong>(error) {
        return ApiError::Malformed(
            "the form has more than 8192 bytes before its first part, or in the headers of a part",
        );
    }
    ApiError::Malformed("the form is malformed or ends before its closing boundary")
}

/// Whether the chain of causes contains an `E`.
pub(super) fn caused_by<E: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<E>() || error.source().is_some_and(caused_by::<E>)
}
