//! A waiting image's ticket: either a session takes it or its sender gives it up, never both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Shared by the one who waits and the one who runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Ticket(Arc<AtomicU8>);

impl Ticket {
    /// The session takes the image; `false` when it was given up.
    pub(super) fn take(&self) -> bool {
        self.leave(TAKEN)
    }

    /// The sender waits no longer; `false` when a session has it: then there will be a result.
    pub(super) fn give_up(&self) -> bool {
        self.leave(GIVEN_UP)
    }

    /// Whether it needs no session any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    fn leave(&self, state: u8) -> bool {
        self.0.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_side_gets_it() {
        for _ in 0..2000 {
            let ticket = Ticket::default();
            let other = ticket.clone();
            let thread = std::thread::spawn(move || other.take());
            let gave_up = ticket.give_up();
            assert_ne!(gave_up, thread.join().unwrap());
            assert_eq!(ticket.is_given_up(), gave_up);
        }
    }
}
