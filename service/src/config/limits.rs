//! `service.limits`: limits of one upload, of one client and of all requests together.

use super::error::Findings;
use super::values::{Bounded, Timeout};
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    pub max_bytes: NonZeroUsize,
    pub max_pixels: NonZeroU64,
    pub max_frames: NonZeroU32,
    /// Slots: requests with an image in flight. Further ones are answered 429.
    pub max_in_flight: Bounded<usize, 1, 100_000>,
    pub deadline_ms: Timeout,
    /// Latest deadline that a request may name.
    pub max_deadline_ms: Timeout,
    /// Requests a second per client; null: no limit.
    pub client_requests_per_second: Option<NonZeroU32>,
    /// Requests that a client may send at once after a pause.
    pub client_burst: NonZeroU32,
    /// Images of one client in flight; null: half of the slots.
    pub client_max_in_flight: Option<NonZeroUsize>,
    /// Threads that decode and preprocess; each may need 8 bytes per pixel.
    pub decode_threads: Bounded<usize, 1, 1024>,
    /// MiB for pixels being decoded; null: derived from what the host leaves.
    pub decode_memory_mb: Option<NonZeroU32>,
    /// MiB for uploads; null: derived from what the host leaves.
    pub upload_memory_mb: Option<NonZeroU32>,
}

impl LimitsConfig {
    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        let advice = "use no more than limits.max_deadline_ms";
        let ordered = self.deadline_ms <= self.max_deadline_ms;
        findings.require(ordered, "limits.deadline_ms", "longer than max_deadline_ms", advice);
    }

    pub const fn decode(&self) -> cxr::DecodeLimits {
        cxr::DecodeLimits {
            max_bytes: self.max_bytes.get(),
            max_pixels: self.max_pixels.get(),
            max_frames: self.max_frames.get(),
        }
    }
}
