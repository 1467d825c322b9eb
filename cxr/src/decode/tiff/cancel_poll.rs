//! Polls for cancellation at regular amounts of work, counted in bytes.

use crate::cancel::{Cancel, Cancelled};

/// Work between two polls: well below a millisecond of the slowest.
const POLL_BYTES: usize = 64 << 10;

pub(super) struct CancelPoll<'a> {
    cancel: Cancel<'a>,
    left: usize,
}

impl<'a> CancelPoll<'a> {
    pub(super) const fn new(cancel: Cancel<'a>) -> Self {
        Self { cancel, left: 0 }
    }

    /// Counts work that takes about as long as decoding `n_bytes`.
    pub(super) fn count(&mut self, n_bytes: usize) -> Result<(), Cancelled> {
        if let Some(left) = self.left.checked_sub(n_bytes) {
            self.left = left;
            return Ok(());
        }
        self.left = POLL_BYTES;
        self.cancel.check()
    }
}
