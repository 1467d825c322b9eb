//! A form's body in small pieces. The parser searches all that it holds again for each piece, so what it may hold is bounded: a part's
//! head (and what comes before the first part) by its length, a part's content by the size of a piece.

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// What may come before a part's content, its boundary included.
pub(super) const MAX_HEAD_BYTES: usize = 8 << 10;
/// A piece of content.
const PIECE_BYTES: usize = 16 << 10;
/// A piece of a head.
const HEAD_PIECE_BYTES: usize = 1 << 10;

/// A head went on for more than [`MAX_HEAD_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("a part's head is longer than {MAX_HEAD_BYTES} bytes")]
pub(super) struct HeadTooLong;

/// What the parser reads now.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Bytes that the head may still have; none while content is read.
    head_left: Arc<AtomicUsize>,
}

/// Content has no end of its own here: the body's limit bounds it.
const CONTENT: usize = usize::MAX;

impl Reading {
    /// The parser looks for a part.
    pub(super) fn head(&self) {
        self.head_left.store(MAX_HEAD_BYTES, Ordering::Relaxed);
    }

    /// The parser has found one.
    pub(super) fn content(&self) {
        self.head_left.store(CONTENT, Ordering::Relaxed);
    }
}

/// The body.
pub(super) struct Pieces {
    body: Body,
    rest: Bytes,
    reading: Reading,
    /// A piece was given: the parser, which takes all that it can get, must look at it first.
    given: bool,
}

impl Pieces {
    pub(super) fn new(body: Body, reading: Reading) -> Self {
        Self { body, rest: Bytes::new(), reading, given: false }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if std::mem::take(&mut self.given) {
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
        let most = match left {
            CONTENT => PIECE_BYTES,
            0 => return Poll::Ready(Some(Err(HeadTooLong.into()))),
            left => left.min(HEAD_PIECE_BYTES),
        };
        let length = most.min(self.rest.len());
        if left != CONTENT {
            self.reading.head_left.store(left - length, Ordering::Relaxed);
        }
        self.given = true;
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }
}
