//! Who may have a connection: a bounded number, and a bounded number from each site. When there is no room, the connection that has been
//! of no use for longest makes way: first those that never showed an accepted token.

use super::address::{Peer, Site};
use super::idle::Activity;
use crate::telemetry::metrics::ConnectionEnd;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// A connection that was used within this time makes way only for one that has waited.
const SPARED_FOR: Duration = Duration::from_secs(1);
/// Added to the order of a connection that was used within this time.
const FRESH: u8 = 2;
/// How long one that finds no room waits.
pub(super) const WAITS_FOR_ROOM: Duration = Duration::from_secs(1);
/// Answers of one connection that need no token and are on their way at a time; further ones wait.
const PUBLIC_ANSWERS: usize = 4;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_of_a_site: usize,
    open: Mutex<Open>,
    waiting: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Connection>>,
    of_a_site: HashMap<Site, usize>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// All places are taken.
    Full,
    /// The site has all that it may have.
    Site,
}

/// What is known of one connection; in the extensions of its requests.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(super) activity: Activity,
    /// A token that came over it was accepted.
    authenticated: AtomicBool,
    public_answers: Arc<Semaphore>,
    /// Answers that are held back (http/late.rs).
    n_held: AtomicUsize,
    end: CancellationToken,
    ended_for: OnceLock<ConnectionEnd>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    pub(super) connection: Arc<Connection>,
    places: Arc<Places>,
}

impl Connection {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            activity: Activity::new(),
            authenticated: AtomicBool::new(false),
            public_answers: Arc::new(Semaphore::new(PUBLIC_ANSWERS)),
            n_held: AtomicUsize::new(0),
            end: CancellationToken::new(),
            ended_for: OnceLock::new(),
        }
    }

    /// A token was accepted.
    pub(crate) fn authenticate(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    /// Waits until an answer that needs no token may be on its way.
    pub(crate) async fn public_answer(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.public_answers).acquire_owned().await.ok()
    }

    /// An answer is held back, until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.n_held.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    /// Ends it at once.
    pub(crate) fn end(&self, cause: ConnectionEnd) {
        let _ = self.ended_for.set(cause);
        self.end.cancel();
    }

    /// Completes when it was ended.
    pub(super) async fn ended(&self) -> ConnectionEnd {
        self.end.cancelled().await;
        self.ended_for.get().copied().unwrap_or(ConnectionEnd::Evicted)
    }

    /// In which order it makes way, earlier first; never while it works for an accepted token. A refusal that is held back is no work:
    /// a client that is refused over hundreds of connections keeps nobody of its address out.
    fn makes_way(&self, now: Instant, spared: Duration) -> Option<(u8, Instant)> {
        let authenticated = self.authenticated.load(Ordering::Relaxed);
        let only_refused = self.n_held.load(Ordering::Relaxed) >= self.activity.n_calls();
        let (since, order) = match (self.activity.quiet_since(), authenticated) {
            (None, true) if only_refused => (self.activity.asked_at(), 1),
            (Some(_), false) => (self.activity.asked_at(), 0),
            (None, false) => (self.activity.asked_at(), 1),
            // What serves clients is spared a moment in any case: they ask again over it.
            (Some(quiet), true) if now.saturating_duration_since(quiet) >= SPARED_FOR => (quiet, 4),
            _ => return None,
        };
        let unused_for = now.saturating_duration_since(since);
        // One that was used a moment ago may be a client whose first request is on its way.
        let order = if unused_for < SPARED_FOR { order + FRESH } else { order };
        (unused_for >= spared).then_some((order, since))
    }
}

/// An answer that is held back.
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Connection);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.n_held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(super) fn new(most: usize, most_of_a_site: usize) -> Arc<Self> {
        let waiting = Arc::new(Semaphore::new(most));
        Arc::new(Self { most, most_of_a_site, open: Mutex::default(), waiting })
    }

    /// A place for a new connection, if need be that of one that has not been used for a second.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Result<Place, NoRoom> {
        self.enter_sparing(peer, SPARED_FOR)
    }

    /// The same for one that has waited: now nobody without a token is spared.
    pub(super) fn enter_after_waiting(self: &Arc<Self>, peer: Peer) -> Result<Place, NoRoom> {
        self.enter_sparing(peer, Duration::ZERO)
    }

    /// Leave to wait for room: as many may wait as there are places.
    pub(super) fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }

    fn enter_sparing(self: &Arc<Self>, peer: Peer, spared: Duration) -> Result<Place, NoRoom> {
        let (mut open, site) = (self.open(), peer.site());
        let crowded = open.of_a_site.get(&site).is_some_and(|n| *n >= self.most_of_a_site);
        if crowded || open.connections.len() >= self.most {
            let now = Instant::now();
            let candidates =
                open.connections.iter().filter(|(_, other)| !crowded || other.peer.site() == site);
            let ranked = candidates.filter_map(|(id, other)| Some((other.makes_way(now, spared)?, *id)));
            let no_room = if crowded { NoRoom::Site } else { NoRoom::Full };
            let (_, longest_idle) = ranked.min().ok_or(no_room)?;
            if let Some(evicted) = open.leave(longest_idle) {
                evicted.end(ConnectionEnd::Evicted);
            }
        }
        let connection = Arc::new(Connection::new(peer));
        let id = open.enter(Arc::clone(&connection));
        Ok(Place { id, connection, places: Arc::clone(self) })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn enter(&mut self, connection: Arc<Connection>) -> u64 {
        let id = self.next;
        self.next += 1;
        *self.of_a_site.entry(connection.peer.site()).or_default() += 1;
        self.connections.insert(id, connection);
        id
    }

    fn leave(&mut self, id: u64) -> Option<Arc<Connection>> {
        let connection = self.connections.remove(&id)?;
        match self.of_a_site.get_mut(&connection.peer.site()) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(self.of_a_site.remove(&connection.peer.site())),
        }
        Some(connection)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.places.open().leave(self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Version;

    fn peer(host: u8) -> Peer {
        Peer(format!("192.0.2.{host}:1").parse().unwrap())
    }

    fn is_ended(place: &Place) -> bool {
        place.connection.end.is_cancelled()
    }

    #[test]
    fn strangers_make_way_first_and_the_longest_idle_before_the_others() {
        let places = Places::new(3, 3);
        let known = places.enter(peer(1)).unwrap();
        known.connection.authenticate();
        let (first, second) = (places.enter(peer(2)).unwrap(), places.enter(peer(3)).unwrap());
        assert_eq!(places.enter(peer(4)).unwrap_err(), NoRoom::Full, "all were used within a second");
        let third = places.enter_after_waiting(peer(4)).unwrap();
        assert_eq!([&known, &first, &second, &third].map(is_ended), [false, true, false, false]);
        // A second token makes the other stranger the next.
        second.connection.authenticate();
        drop(places.enter_after_waiting(peer(5)).unwrap());
        assert_eq!([&known, &second, &third].map(is_ended), [false, false, true]);
        drop((known, first, second, third));
        let open = places.open();
        assert!(open.connections.is_empty() && open.of_a_site.is_empty());
    }

    #[test]
    fn a_site_has_its_share_and_takes_nothing_of_others() {
        let places = Places::new(10, 2);
        let (mine, other) = (places.enter(peer(1)).unwrap(), places.enter(peer(2)).unwrap());
        let second = places.enter(peer(1)).unwrap();
        assert_eq!(places.enter(peer(1)).unwrap_err(), NoRoom::Site);
        let _third = places.enter_after_waiting(peer(1)).unwrap();
        assert_eq!([&mine, &other, &second].map(is_ended), [true, false, false]);
    }

    #[test]
    fn what_works_for_a_token_is_never_ended() {
        let places = Places::new(1, 1);
        let busy = places.enter(peer(1)).unwrap();
        busy.connection.authenticate();
        let _call = busy.connection.activity.call(Version::HTTP_11);
        assert_eq!(busy.connection.makes_way(Instant::now() + Duration::from_mins(1), Duration::ZERO), None);
        assert_eq!(places.enter_after_waiting(peer(2)).unwrap_err(), NoRoom::Full);
        // Unless all that it does is wait for refusals.
        let held = busy.connection.hold();
        let _second_call = busy.connection.activity.call(Version::HTTP_2);
        assert_eq!(places.enter_after_waiting(peer(2)).unwrap_err(), NoRoom::Full);
        let _second_held = busy.connection.hold();
        assert!(places.enter_after_waiting(peer(2)).is_ok() && is_ended(&busy));
        drop(held);
    }
}
