//! Connection slots: a bounded number in total and per address. If none is free, the least useful idle
//! connection is evicted, those that never sent a valid token first.

use super::address::{AddressBlock, Peer};
use super::idle::Requests;
use crate::telemetry::metrics::ConnectionEnd;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Connections used more recently are evicted only after [`SLOT_WAIT`].
const RECENT: Duration = Duration::from_secs(1);
/// Added to the rank of a connection used within this time.
const RECENT_RANK: u8 = 2;
/// How long a new connection waits for a slot.
pub(super) const SLOT_WAIT: Duration = Duration::from_secs(1);
/// Answers without a token that one connection may have in flight; further requests wait.
const MAX_PUBLIC_RESPONSES: usize = 4;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    max: usize,
    max_per_block: usize,
    state: Mutex<State>,
    waiting: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connections: HashMap<u64, Arc<Connection>>,
    per_block: HashMap<AddressBlock, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    Full,
    /// The address block has `max_per_block` connections.
    PerAddress,
}

/// State of one connection; an extension of its requests.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(super) requests: Requests,
    /// A token sent over it was accepted.
    authenticated: AtomicBool,
    public_permits: Arc<Semaphore>,
    /// Answers that are delayed (http/middleware/delay.rs).
    n_delayed: AtomicUsize,
    close: CancellationToken,
    close_cause: OnceLock<ConnectionEnd>,
}

/// Dropping it frees the slot.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    id: u64,
    pub(super) connection: Arc<Connection>,
    slots: Arc<ConnectionSlots>,
}

impl Connection {
    fn new(peer: Peer) -> Self {
        let (authenticated, n_delayed, close, close_cause) = Default::default();
        let public_permits = Arc::new(Semaphore::new(MAX_PUBLIC_RESPONSES));
        let requests = Requests::new();
        Self { peer, requests, authenticated, public_permits, n_delayed, close, close_cause }
    }

    pub(crate) fn set_authenticated(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    /// Waits until one more answer without a token may be in flight.
    pub(crate) async fn public_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.public_permits).acquire_owned().await.ok()
    }

    /// Counts an answer as delayed until the guard is dropped.
    pub(crate) fn delay_response(&self) -> DelayGuard<'_> {
        self.n_delayed.fetch_add(1, Ordering::Relaxed);
        DelayGuard(self)
    }

    /// Closes it at once, without an answer to the requests in flight.
    pub(crate) fn close(&self, cause: ConnectionEnd) {
        let _ = self.close_cause.set(cause);
        self.close.cancel();
    }

    /// Completes once [`Connection::close`] was called.
    pub(super) async fn closed(&self) -> ConnectionEnd {
        self.close.cancelled().await;
        self.close_cause.get().copied().unwrap_or(ConnectionEnd::Evicted)
    }

    /// Lower ranks are evicted first, then older ones. `None`: in use for a valid token, or used too
    /// recently. Delayed refusals do not count as work: a client that is refused on hundreds of connections
    /// must not lock out the others at its address.
    fn eviction_rank(&self, now: Instant, spared: Duration) -> Option<(u8, Instant)> {
        let authenticated = self.authenticated.load(Ordering::Relaxed);
        let only_refused = self.n_delayed.load(Ordering::Relaxed) >= self.requests.n_in_flight();
        let (since, rank) = match (self.requests.idle_since(), authenticated) {
            (None, true) if only_refused => (self.requests.last_request_at(), 1),
            (Some(_), false) => (self.requests.last_request_at(), 0),
            (None, false) => (self.requests.last_request_at(), 1),
            // Clients with a token reuse their connection, so it is spared for a moment in any case.
            (Some(idle_since), true) if now.saturating_duration_since(idle_since) >= RECENT => {
                (idle_since, 4)
            }
            _ => return None,
        };
        let unused_for = now.saturating_duration_since(since);
        // A connection this young may belong to a client whose first request is still arriving.
        let rank = if unused_for < RECENT { rank + RECENT_RANK } else { rank };
        (unused_for >= spared).then_some((rank, since))
    }
}

#[derive(Debug)]
pub(crate) struct DelayGuard<'a>(&'a Connection);

impl Drop for DelayGuard<'_> {
    fn drop(&mut self) {
        self.0.n_delayed.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionSlots {
    pub(super) fn new(max: usize, max_per_block: usize) -> Arc<Self> {
        let waiting = Arc::new(Semaphore::new(max));
        Arc::new(Self { max, max_per_block, state: Mutex::default(), waiting })
    }

    /// A slot for a new connection; evicts one that was idle for a second if none is free.
    pub(super) fn acquire(self: &Arc<Self>, peer: Peer) -> Result<ConnectionSlot, NoSlot> {
        self.acquire_sparing(peer, RECENT)
    }

    /// The same after [`SLOT_WAIT`]: evicts even recently used connections without a token.
    pub(super) fn acquire_after_wait(self: &Arc<Self>, peer: Peer) -> Result<ConnectionSlot, NoSlot> {
        self.acquire_sparing(peer, Duration::ZERO)
    }

    /// The right to wait for a slot; as many connections may wait as there are slots.
    pub(super) fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }

    fn acquire_sparing(self: &Arc<Self>, peer: Peer, spared: Duration) -> Result<ConnectionSlot, NoSlot> {
        let (mut state, block) = (self.state(), peer.block());
        let block_full = state.per_block.get(&block).is_some_and(|n| *n >= self.max_per_block);
        if block_full || state.connections.len() >= self.max {
            let now = Instant::now();
            let candidates =
                state.connections.iter().filter(|(_, other)| !block_full || other.peer.block() == block);
            let ranked = candidates.filter_map(|(id, other)| Some((other.eviction_rank(now, spared)?, *id)));
            let no_slot = if block_full { NoSlot::PerAddress } else { NoSlot::Full };
            let (_, victim) = ranked.min().ok_or(no_slot)?;
            if let Some(evicted) = state.remove(victim) {
                evicted.close(ConnectionEnd::Evicted);
            }
        }
        let connection = Arc::new(Connection::new(peer));
        let id = state.insert(Arc::clone(&connection));
        Ok(ConnectionSlot { id, connection, slots: Arc::clone(self) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, connection: Arc<Connection>) -> u64 {
        let id = self.next;
        self.next += 1;
        *self.per_block.entry(connection.peer.block()).or_default() += 1;
        self.connections.insert(id, connection);
        id
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Connection>> {
        let connection = self.connections.remove(&id)?;
        match self.per_block.get_mut(&connection.peer.block()) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(self.per_block.remove(&connection.peer.block())),
        }
        Some(connection)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        drop(self.slots.state().remove(self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Version;

    fn peer(host: u8) -> Peer {
        Peer(format!("192.0.2.{host}:1").parse().unwrap())
    }

    fn is_closed(slot: &ConnectionSlot) -> bool {
        slot.connection.close.is_cancelled()
    }

    #[test]
    fn connections_without_a_token_are_evicted_first_and_the_longest_idle_before_the_others() {
        let slots = ConnectionSlots::new(3, 3);
        let known = slots.acquire(peer(1)).unwrap();
        known.connection.set_authenticated();
        let (first, second) = (slots.acquire(peer(2)).unwrap(), slots.acquire(peer(3)).unwrap());
        assert_eq!(slots.acquire(peer(4)).unwrap_err(), NoSlot::Full, "all were used within a second");
        let third = slots.acquire_after_wait(peer(4)).unwrap();
        assert_eq!([&known, &first, &second, &third].map(is_closed), [false, true, false, false]);
        // With a token on the second connection, the third is the only one without.
        second.connection.set_authenticated();
        drop(slots.acquire_after_wait(peer(5)).unwrap());
        assert_eq!([&known, &second, &third].map(is_closed), [false, false, true]);
        drop((known, first, second, third));
        let state = slots.state();
        assert!(state.connections.is_empty() && state.per_block.is_empty());
    }

    #[test]
    fn an_address_has_its_share_and_takes_no_slot_of_others() {
        let slots = ConnectionSlots::new(10, 2);
        let (mine, other) = (slots.acquire(peer(1)).unwrap(), slots.acquire(peer(2)).unwrap());
        let second = slots.acquire(peer(1)).unwrap();
        assert_eq!(slots.acquire(peer(1)).unwrap_err(), NoSlot::PerAddress);
        let _third = slots.acquire_after_wait(peer(1)).unwrap();
        assert_eq!([&mine, &other, &second].map(is_closed), [true, false, false]);
    }

    #[test]
    fn a_connection_that_works_for_a_token_is_never_evicted() {
        let slots = ConnectionSlots::new(1, 1);
        let busy = slots.acquire(peer(1)).unwrap();
        busy.connection.set_authenticated();
        let _first = busy.connection.requests.begin(Version::HTTP_11);
        assert_eq!(
            busy.connection.eviction_rank(Instant::now() + Duration::from_mins(1), Duration::ZERO),
            None
        );
        assert_eq!(slots.acquire_after_wait(peer(2)).unwrap_err(), NoSlot::Full);
        // Unless all its requests are delayed refusals.
        let delayed = busy.connection.delay_response();
        let _second = busy.connection.requests.begin(Version::HTTP_2);
        assert_eq!(slots.acquire_after_wait(peer(2)).unwrap_err(), NoSlot::Full);
        let _second_delayed = busy.connection.delay_response();
        assert!(slots.acquire_after_wait(peer(2)).is_ok() && is_closed(&busy));
        drop(delayed);
    }
}
