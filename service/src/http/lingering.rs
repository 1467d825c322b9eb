//! Answering a client that is still sending. When a refusal comes before the body was read, closing at once would
//! reset the connection and the client would never see the answer; so the rest of the body is read and thrown away
//! in the background, up to a limit.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct DrainLimits {
    pub(super) bytes: u64,
    pub(super) duration: Duration,
}

/// A request body that drains itself when it is dropped unfinished.
pub(super) struct LingeringBody<B: Unfinished> {
    inner: Option<B>,
    limits: DrainLimits,
    /// The client waits for `100 Continue`, which reading would send: it has sent nothing to drain.
    client_waits: bool,
}

/// What a body must be to be drained by a task.
pub(super) trait Unfinished: Body<Data = Bytes> + Send + Unpin + 'static {}
impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Unfinished for B {}

impl<B: Unfinished> LingeringBody<B> {
    pub(super) fn new(inner: B, limits: DrainLimits, expects_continue: bool) -> Self {
        Self { inner: Some(inner), limits, client_waits: expects_continue }
    }
}

impl<B: Unfinished> Body for LingeringBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.client_waits = false;
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Unfinished> Drop for LingeringBody<B> {
    fn drop(&mut self) {
        let unfinished = self.inner.take().filter(|inner| !inner.is_end_stream() && !self.client_waits);
        if let (Some(inner), Ok(runtime)) = (unfinished, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(self.limits.duration, drain(inner, self.limits.bytes)));
        }
    }
}

async fn drain<B: Unfinished>(mut body: B, limit_bytes: u64) {
    let mut left = limit_bytes;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(length) else { return };
        left = rest;
    }
}
