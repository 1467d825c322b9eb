//! An arbitrary Content-Type and body, in pieces of any size, as a form: read or refused, within the limits.
//!
//! The first byte is the size of the pieces (0: one piece), the first line after it the Content-Type, the
//! rest the body.

#![no_main]

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use cxr::metadata::AcquisitionMetadata;
use cxr_service::http::fuzzing::form;
use futures_util::stream;
use libfuzzer_sys::fuzz_target;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Far below the service's, so that inputs of a few kB reach them.
const LIMIT_BYTES: usize = 2048;
const BODY_LIMIT_BYTES: usize = 3072;
const TEXT_LIMIT_BYTES: usize = 256;

fuzz_target!(|input: &[u8]| {
    let Some((piece, input)) = input.split_first() else { return };
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let body = Bytes::copy_from_slice(input.get(end + 1..).unwrap_or_default());
    let size = if *piece == 0 { body.len().max(1) } else { usize::from(*piece) };
    let pieces: Vec<_> = body.chunks(size).map(|piece| Ok::<_, Infallible>(body.slice_ref(piece))).collect();
    let request = Request::builder().header("content-type", &input[..end]);
    let Ok(request) = request.body(Body::from_stream(stream::iter(pieces))) else { return };
    // The form yields after each piece but never waits: the whole body is there.
    let mut reading = pin!(form(request, LIMIT_BYTES, BODY_LIMIT_BYTES));
    let mut polls =
        (0..2 * body.len() + 64).map(|_| reading.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    let Poll::Ready(read) = polls.find(Poll::is_ready).expect("it ends") else { return };
    let Some((image, stated)) = read else { return };
    assert!(image.len() <= LIMIT_BYTES);
    let texts = [&stated.age, &stated.view, &stated.modality].map(Option::as_deref);
    assert!(texts.iter().flatten().all(|text| text.len() <= TEXT_LIMIT_BYTES));
    if let Ok(metadata) = AcquisitionMetadata::parse(texts[0], texts[1], texts[2]) {
        assert!(metadata.age_years.is_none_or(|years| (0.0..=120.0).contains(&years)));
    }
});
