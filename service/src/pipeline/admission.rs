//! The door: a bounded number of requests may hold an image at a time.

use crate::memory::{Budget, Reserved};
use crate::quota::ClientSlot;
use crate::telemetry::metrics::{Counted, Metrics};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts who is inside.
pub struct Gate {
    places: Arc<Semaphore>,
    n_places: usize,
    closed: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// A place, held until the request has ended whatever its client does.
#[derive(Debug)]
pub struct Admission {
    place: OwnedSemaphorePermit,
    n_places: usize,
    upload: Option<Reserved>,
    closed: Arc<AtomicBool>,
    client: ClientSlot,
    _counted: Counted,
}

impl Admission {
    /// Waits for the memory of the upload, and keeps it for as long as the place. Whether the client may have so much of it.
    pub async fn upload(&mut self, bytes: u64, memory: &Budget) -> bool {
        // Half: promises of one client leave room for the others.
        let may = self.client.upload(bytes, memory.total_bytes() / 2);
        if may {
            self.upload = memory.reserve(bytes).await;
        }
        may
    }

    /// How many are inside, this one with them.
    pub(super) fn in_flight(&self) -> usize {
        self.n_places.saturating_sub(self.place.semaphore().available_permits())
    }

    /// True once the process is about to end: images that are still being decoded expire.
    pub(super) fn closed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.closed)
    }
}

impl Gate {
    /// With `service.limits.max_in_flight` places.
    pub fn new(n_places: usize, metrics: Arc<Metrics>) -> Self {
        Self { places: Arc::new(Semaphore::new(n_places)), n_places, closed: Arc::default(), metrics }
    }

    /// A place for a client that has one of its own, or nothing when all are taken: there is no queue in front of the door.
    pub fn try_enter(&self, client: ClientSlot) -> Option<Admission> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Admission {
            place,
            n_places: self.n_places,
            upload: None,
            closed: Arc::clone(&self.closed),
            client,
            _counted: self.metrics.admitted(),
        })
    }

    /// Images that are still being decoded, or wait for it, expire now, each with its row.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Waits until everybody has left.
    pub async fn emptied(&self) {
        drop(self.places.acquire_many(u32::try_from(self.n_places).unwrap_or(u32::MAX)).await);
    }
}
