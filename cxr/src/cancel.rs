//! Cooperative cancellation. The caller knows the deadline and the client; this crate only polls.

use std::fmt;

/// A condition that long work polls about every millisecond.
#[derive(Clone, Copy)]
pub struct Cancel<'a>(&'a dyn Fn() -> bool);

/// The caller cancelled the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by the caller")]
pub struct Cancelled;

impl<'a> Cancel<'a> {
    /// Never cancels.
    pub const NEVER: Cancel<'static> = Cancel(&|| false);

    /// Cancels once `requested` returns true.
    pub const fn when(requested: &'a dyn Fn() -> bool) -> Self {
        Self(requested)
    }

    /// Fails once the work is cancelled.
    pub fn check(self) -> Result<(), Cancelled> {
        if (self.0)() { Err(Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Cancel<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cancel")
    }
}
