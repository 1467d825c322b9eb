//! Feeds a form to the parser in small pieces. For each piece the parser scans its whole buffer again, so the
//! buffer must stay small: part headers (and the preamble) are limited in length, and content comes in pieces
//! of limited size.

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// Boundary and headers of a part.
pub(super) const MAX_HEAD_BYTES: usize = 8 << 10;
const PIECE_BYTES: usize = 16 << 10;
const HEAD_PIECE_BYTES: usize = 1 << 10;

#[derive(Debug, thiserror::Error)]
#[error("a part's head is longer than {MAX_HEAD_BYTES} bytes")]
pub(super) struct HeadTooLong;

/// What the parser reads now, shared between `multipart::read` and [`Pieces`].
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Bytes that the head may still have; [`CONTENT`] while content is read.
    head_left: Arc<AtomicUsize>,
}

/// Content has no limit here; the whole body has one.
const CONTENT: usize = usize::MAX;

impl Reading {
    pub(super) fn head(&self) {
        self.head_left.store(MAX_HEAD_BYTES, Ordering::Relaxed);
    }

    pub(super) fn content(&self) {
        self.head_left.store(CONTENT, Ordering::Relaxed);
    }
}

pub(super) struct Pieces {
    body: Body,
    rest: Bytes,
    reading: Reading,
    /// A piece was just yielded. The parser reads as much as it can; one `Pending` makes it parse the piece
    /// first.
    yielded: bool,
}

impl Pieces {
    pub(super) fn new(body: Body, reading: Reading) -> Self {
        Self { body, rest: Bytes::new(), reading, yielded: false }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if std::mem::take(&mut self.yielded) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
            }
        }
        let left = self.reading.head_left.load(Ordering::Relaxed);
        let max = match left {
            CONTENT => PIECE_BYTES,
            0 => return Poll::Ready(Some(Err(HeadTooLong.into()))),
            left => left.min(HEAD_PIECE_BYTES),
        };
        let length = max.min(self.rest.len());
        if left != CONTENT {
            self.reading.head_left.store(left - length, Ordering::Relaxed);
        }
        self.yielded = true;
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }
}
