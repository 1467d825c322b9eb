//! Cancels long work. The caller knows the deadline and the client; this crate only asks.

use std::fmt;

/// A question that long work asks between pieces of about a millisecond: must it stop?
#[derive(Clone, Copy)]
pub struct Cancel<'a>(&'a dyn Fn() -> bool);

/// The caller asked to stop before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by the caller")]
pub struct Cancelled;

impl<'a> Cancel<'a> {
    /// Work that always runs to its end.
    pub const NEVER: Cancel<'static> = Cancel(&|| false);

    /// Stops once `requested` returns true.
    pub const fn when(requested: &'a dyn Fn() -> bool) -> Self {
        Self(requested)
    }

    /// # Errors
    /// [`Cancelled`] once the caller wants the work to stop.
    pub fn check(self) -> Result<(), Cancelled> {
        if (self.0)() { Err(Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Cancel<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cancel")
    }
}
