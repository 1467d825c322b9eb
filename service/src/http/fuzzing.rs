//! A door for the fuzzer to what is private here (`fuzz/`); only its builds have it.

use crate::http::extract::media::{BodyFormat, body_format};
use crate::http::extract::multipart;
use crate::pipeline::Stated;
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body_util::Limited;

/// Reads a form as an upload is read, from a request whose whole body may have `body_limit` bytes; `None` where it is refused, or
/// where the headers announce no form.
pub async fn form(request: Request, limit_bytes: usize, body_limit: usize) -> Option<(Bytes, Stated)> {
    if body_format(request.headers()).ok()? != BodyFormat::Multipart {
        return None;
    }
    let request = request.map(|body| Body::new(Limited::new(body, body_limit)));
    multipart::read(request, limit_bytes, Stated::default()).await.ok()
}
