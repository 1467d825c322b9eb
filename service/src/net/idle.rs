//! Idle timeout: the requests in flight on one connection, and whether the service or the client must act
//! next. The write timeout does not notice an HTTP/2 client that grants no window; this does.

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

/// Whether a connection has been idle for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idleness {
    Active,
    /// It has never sent a request.
    NoRequest,
    /// An HTTP/2 connection without a request in flight; HTTP/1 connections have hyper's own timeout.
    BetweenRequests,
    /// All requests in flight have an answer that the client does not read.
    NotReading,
}

/// Tracks the requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct Requests(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    next: u64,
    /// Since when the client has not read the answer; `None` while the service works on it.
    in_flight: BTreeMap<u64, Option<Instant>>,
    /// When the last request ended.
    idle_since: Instant,
    /// When the last request arrived; before the first one, when the connection was opened.
    last_request_at: Instant,
    had_request: bool,
    multiplexed: bool,
}

impl Requests {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let (next, in_flight, had_request, multiplexed) = Default::default();
        let state =
            State { next, in_flight, idle_since: now, last_request_at: now, had_request, multiplexed };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Tracks a request until the result is dropped.
    pub(super) fn begin(&self, version: Version) -> InFlight {
        let mut state = self.state();
        state.had_request = true;
        state.last_request_at = Instant::now();
        state.multiplexed |= version == Version::HTTP_2;
        let id = state.next;
        state.next += 1;
        state.in_flight.insert(id, None);
        InFlight { id, requests: self.clone() }
    }

    /// Counts idle time from now on.
    pub(super) fn restart_idle_timer(&self) {
        self.state().idle_since = Instant::now();
    }

    pub(super) fn last_request_at(&self) -> Instant {
        self.state().last_request_at
    }

    /// Since when no request is in flight; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.in_flight.is_empty().then_some(state.idle_since)
    }

    pub(super) fn n_in_flight(&self) -> usize {
        self.state().in_flight.len()
    }

    /// `idle_timeout` applies without a request in flight, `read_timeout` to answers that the client does not
    /// read.
    pub(super) fn idleness(&self, idle_timeout: Duration, read_timeout: Duration) -> Idleness {
        let state = self.state();
        // All of them: a proxy with one slow client serves others over the same connection.
        let unread = |since: &Option<Instant>| since.is_some_and(|since| since.elapsed() >= read_timeout);
        if !state.in_flight.is_empty() {
            return if state.in_flight.values().all(unread) {
                Idleness::NotReading
            } else {
                Idleness::Active
            };
        }
        let idle = state.idle_since.elapsed() >= idle_timeout;
        match (idle, state.had_request, state.multiplexed) {
            (true, false, _) => Idleness::NoRequest,
            (true, true, true) => Idleness::BetweenRequests,
            _ => Idleness::Active,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight, until the client has read its answer or either side has closed.
#[derive(Debug)]
pub(super) struct InFlight {
    id: u64,
    requests: Requests,
}

impl InFlight {
    pub(super) fn answered(self, body: Body, public: Option<PublicResponsePermit>) -> TrackedBody {
        self.set_unread(true);
        TrackedBody { body, in_flight: self, _public: public }
    }

    fn set_unread(&self, unread: bool) {
        self.requests.state().in_flight.insert(self.id, unread.then(Instant::now));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.requests.state();
        state.in_flight.remove(&self.id);
        state.idle_since = Instant::now();
    }
}

/// The body of an answer. It is polled for the next frame once the client has read the previous one.
pub(super) struct TrackedBody {
    body: Body,
    in_flight: InFlight,
    _public: Option<PublicResponsePermit>,
}

/// Permit for an answer without a token (slots.rs); an extension of the answer, held until the client has
/// read it.
#[derive(Debug, Clone)]
pub(crate) struct PublicResponsePermit(
    #[expect(dead_code, reason = "held until it is dropped")] pub(crate) Arc<OwnedSemaphorePermit>,
);

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.in_flight.set_unread(false);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.in_flight.set_unread(true);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
