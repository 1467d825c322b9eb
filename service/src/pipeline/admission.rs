//! Admission: a bounded number of requests may hold an image at a time.

use crate::memory::{Budget, Reserved};
use crate::quota::ClientSlot;
use crate::telemetry::metrics::{Counted, Metrics};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots for images, `service.limits.max_in_flight` of them.
pub struct ImageSlots {
    free: Arc<Semaphore>,
    n_slots: usize,
    decoding_stopped: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// A slot with the upload's memory, held until the request has ended, even if its client disconnects earlier.
#[derive(Debug)]
pub struct Admission {
    slot: OwnedSemaphorePermit,
    n_slots: usize,
    upload: Option<Reserved>,
    decoding_stopped: Arc<AtomicBool>,
    client: ClientSlot,
    _counted: Counted,
}

impl Admission {
    /// Waits for the memory of the upload and keeps it with the slot. False if the client's uploads would
    /// exceed its share of the memory.
    pub async fn reserve_upload(&mut self, bytes: u64, memory: &Budget) -> bool {
        // Half of it for one client, so that others have room.
        let allowed = self.client.upload(bytes, memory.total_bytes() / 2);
        if allowed {
            self.upload = memory.reserve(bytes).await;
        }
        allowed
    }

    /// Number of images in flight, including this one.
    pub(super) fn in_flight(&self) -> usize {
        self.n_slots.saturating_sub(self.slot.semaphore().available_permits())
    }

    /// True once [`ImageSlots::stop_decoding`] was called.
    pub(super) fn decoding_stopped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.decoding_stopped)
    }
}

impl ImageSlots {
    pub fn new(n_slots: usize, metrics: Arc<Metrics>) -> Self {
        let decoding_stopped = Arc::default();
        Self { free: Arc::new(Semaphore::new(n_slots)), n_slots, decoding_stopped, metrics }
    }

    /// Adds one of the service's slots to the client's own; `None` if all are in use: no request waits.
    pub fn admit(&self, client: ClientSlot) -> Option<Admission> {
        Some(Admission {
            slot: Arc::clone(&self.free).try_acquire_owned().ok()?,
            n_slots: self.n_slots,
            upload: None,
            decoding_stopped: Arc::clone(&self.decoding_stopped),
            client,
            _counted: self.metrics.admitted(),
        })
    }

    /// Expires the images that are still being decoded or wait for it; each still gets its row.
    pub fn stop_decoding(&self) {
        self.decoding_stopped.store(true, Ordering::Relaxed);
    }

    /// Waits until no image is in flight.
    pub async fn drained(&self) {
        drop(self.free.acquire_many(u32::try_from(self.n_slots).unwrap_or(u32::MAX)).await);
    }
}
