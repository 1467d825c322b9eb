//! Numbers with their unit in the type.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A duration written in milliseconds; its keys end in `_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Milliseconds(pub u64);

impl Milliseconds {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Whether it lies between a millisecond and an hour: what a time-out can sensibly be.
    pub(super) const fn is_timeout(self) -> bool {
        self.0 >= 1 && self.0 <= 3_600_000
    }
}
