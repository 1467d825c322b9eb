//! Reads and discards, up to a limit, the rest of a request body that no handler read. Closing while the
//! client still sends would reset the connection, and the client would never see why it was refused.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(super) struct DrainLimits {
    pub(super) bytes: u64,
    pub(super) duration: Duration,
}

/// A request body that drains itself in the background when it is dropped before its end.
pub(super) struct DrainingBody<B: DrainableBody> {
    inner: Option<B>,
    limits: DrainLimits,
    /// The client waits for `100 Continue`, which polling the body would send; it has sent nothing to drain.
    awaits_continue: bool,
}

pub(super) trait DrainableBody: Body<Data = Bytes> + Send + Unpin + 'static {}
impl<B: Body<Data = Bytes> + Send + Unpin + 'static> DrainableBody for B {}

impl<B: DrainableBody> DrainingBody<B> {
    pub(super) fn new(inner: B, limits: DrainLimits, expects_continue: bool) -> Self {
        Self { inner: Some(inner), limits, awaits_continue: expects_continue }
    }
}

impl<B: DrainableBody> Body for DrainingBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.awaits_continue = false;
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

impl<B: DrainableBody> Drop for DrainingBody<B> {
    fn drop(&mut self) {
        let unfinished = self.inner.take().filter(|inner| !inner.is_end_stream() && !self.awaits_continue);
        if let (Some(inner), Ok(runtime)) = (unfinished, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(self.limits.duration, drain(inner, self.limits.bytes)));
        }
    }
}

async fn drain<B: DrainableBody>(mut body: B, limit_bytes: u64) {
    let mut left = limit_bytes;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(length) else { return };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const LIMITS: DrainLimits = DrainLimits { bytes: 1000, duration: Duration::from_secs(5) };

    /// An endless body of 100-byte frames; counts the frames read.
    fn endless(taken: &Arc<AtomicU64>) -> axum::body::Body {
        let taken = Arc::clone(taken);
        axum::body::Body::from_stream(futures_util::stream::repeat_with(move || {
            taken.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&[0; 100]))
        }))
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_before_its_end_is_drained_up_to_the_limit() {
        let taken = Arc::default();
        drop(DrainingBody::new(endless(&taken), LIMITS, false));
        while Arc::strong_count(&taken) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(taken.load(Ordering::Relaxed), 11);
    }

    #[tokio::test]
    async fn nothing_is_read_from_a_client_that_waits_for_100_continue() {
        let taken = Arc::default();
        drop(DrainingBody::new(endless(&taken), LIMITS, true));
        assert_eq!((Arc::strong_count(&taken), taken.load(Ordering::Relaxed)), (1, 0));
        // After the first read the client sends, and the body is drained like any other.
        let mut body = DrainingBody::new(endless(&taken), LIMITS, true);
        body.frame().await.unwrap().unwrap();
        drop(body);
        while Arc::strong_count(&taken) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(taken.load(Ordering::Relaxed), 12);
    }

    #[tokio::test]
    async fn a_body_that_was_read_to_its_end_is_left_alone() {
        let body = DrainingBody::new(axum::body::Body::from("whole"), LIMITS, false);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
    }
}
