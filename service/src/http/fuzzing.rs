//! Access to private parsers for the fuzz targets (`fuzz/`); compiled only for them.

use crate::http::extract::media::{BodyFormat, body_format};
use crate::http::extract::multipart;
use crate::pipeline::Stated;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body_util::Limited;

/// Reads a form as an upload is read, from a body of at most `body_limit` bytes; `None` if it is refused or
/// not a form.
pub async fn form(request: Request, limit_bytes: usize, body_limit: usize) -> Option<(Bytes, Stated)> {
    if body_format(request.headers()).ok()? != BodyFormat::Multipart {
        return None;
    }
    let request = request.map(|body| Body::new(Limited::new(body, body_limit)));
    multipart::read(request, limit_bytes, Stated::default()).await.ok()
}
