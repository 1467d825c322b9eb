//! What one connection is doing: which requests are under way, and whether the service or the client is the one who keeps the other
//! waiting. A client of HTTP/2 that grants no window looks alive to everything below.

use axum::body::Body;
use axum::http::Version;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Whether a connection has been of no use for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idleness {
    /// It has not.
    None,
    /// No request ever came.
    NoRequest,
    /// Nothing is under way on a connection that could have several. One of HTTP/1 has the library's own time-out then.
    BetweenRequests,
    /// No answer that is there is taken.
    NotReading,
}

/// The requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    next: u64,
    /// Since when the client keeps an answer waiting; none while the service works on it.
    calls: BTreeMap<u64, Option<Instant>>,
    /// When the last of them ended.
    quiet_since: Instant,
    /// When the last of them came, or the connection.
    asked_at: Instant,
    begun: bool,
    multiplexed: bool,
}

impl Activity {
    pub(super) fn new() -> Self {
        let (next, calls) = Default::default();
        let now = Instant::now();
        let state = State { next, calls, quiet_since: now, asked_at: now, begun: false, multiplexed: false };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A request came.
    pub(super) fn call(&self, version: Version) -> Call {
        let mut state = self.state();
        state.begun = true;
        state.asked_at = Instant::now();
        state.multiplexed |= version == Version::HTTP_2;
        let id = state.next;
        state.next += 1;
        state.calls.insert(id, None);
        Call { id, activity: self.clone() }
    }

    /// From here on it counts as quiet.
    pub(super) fn begin_again(&self) {
        self.state().quiet_since = Instant::now();
    }

    /// When the last request came, or the connection.
    pub(super) fn asked_at(&self) -> Instant {
        self.state().asked_at
    }

    /// Since when no request is under way; none while one is.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        state.calls.is_empty().then_some(state.quiet_since)
    }

    /// Requests under way.
    pub(super) fn n_calls(&self) -> usize {
        self.state().calls.len()
    }

    pub(super) fn idleness(&self, quiet: Duration, unread: Duration) -> Idleness {
        let state = self.state();
        // All of them: a proxy that waits for one slow client of its own still serves the others over this connection.
        let waits = |since: &Option<Instant>| since.is_some_and(|since| since.elapsed() >= unread);
        if !state.calls.is_empty() {
            let stuck = state.calls.values().all(waits);
            return if stuck { Idleness::NotReading } else { Idleness::None };
        }
        let quiet = state.quiet_since.elapsed() >= quiet;
        match (quiet, state.begun, state.multiplexed) {
            (true, false, _) => Idleness::NoRequest,
            (true, true, true) => Idleness::BetweenRequests,
            _ => Idleness::None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request on its way, until its answer has been taken or given up.
#[derive(Debug)]
pub(super) struct Call {
    id: u64,
    activity: Activity,
}

impl Call {
    /// The answer's body.
    pub(super) fn answering(self, body: Body, public: Option<PublicAnswer>) -> Answering {
        self.waits_for_client(true);
        Answering { body, call: self, _public: public }
    }

    fn waits_for_client(&self, waits: bool) {
        self.activity.state().calls.insert(self.id, waits.then(Instant::now));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.calls.remove(&self.id);
        state.quiet_since = Instant::now();
    }
}

/// A body that notes who waits for whom: it is asked for more as soon as the client has taken what there was.
pub(super) struct Answering {
    body: Body,
    call: Call,
    _public: Option<PublicAnswer>,
}

/// One of the answers without a token that a connection may have on their way; in the answer's extensions.
#[derive(Debug, Clone)]
pub(crate) struct PublicAnswer(
    #[expect(dead_code, reason = "held until it is dropped")] pub(crate) Arc<OwnedSemaphorePermit>,
);

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.call.waits_for_client(false);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.call.waits_for_client(true);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
