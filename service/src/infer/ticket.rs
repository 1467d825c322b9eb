//! The ticket of a queued image: either a session takes it or its sender cancels it, never both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const CANCELLED: u8 = 2;

/// Shared by the sender and the session.
#[derive(Debug, Clone, Default)]
pub(super) struct Ticket(Arc<AtomicU8>);

impl Ticket {
    /// Called by the session; false if the image was cancelled.
    pub(super) fn take(&self) -> bool {
        self.leave(TAKEN)
    }

    /// Called by the sender; false if a session has taken the image: then there will be a result.
    pub(super) fn cancel(&self) -> bool {
        self.leave(CANCELLED)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == CANCELLED
    }

    fn leave(&self, state: u8) -> bool {
        self.0.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_wins_and_never_both() {
        for _ in 0..2000 {
            let ticket = Ticket::default();
            let other = ticket.clone();
            let thread = std::thread::spawn(move || other.take());
            let cancelled = ticket.cancel();
            assert_ne!(cancelled, thread.join().unwrap());
            assert_eq!(ticket.is_cancelled(), cancelled);
        }
    }
}
