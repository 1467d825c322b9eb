//! `service.limits`: what one upload and all uploads together may cost.

use super::problem::Problem;
use super::require;
use super::units::Milliseconds;
use crate::quota::ClientLimits;
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

/// Limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Largest encoded image in bytes.
    pub max_bytes: NonZeroUsize,
    /// Largest width times height.
    pub max_pixels: NonZeroU64,
    /// Most frames or pages of a file.
    pub max_frames: NonZeroU32,
    /// Requests that may hold an image at a time; more are answered 429.
    pub max_in_flight: NonZeroUsize,
    /// The model must have begun by then, where a request says nothing of it.
    pub deadline_ms: Milliseconds,
    /// The most that a request may say.
    pub max_deadline_ms: Milliseconds,
    /// Requests a second of one client; null for no limit.
    pub client_requests_per_second: Option<NonZeroU32>,
    /// Requests of one client that may come at once.
    pub client_burst: NonZeroU32,
    /// Images of one client at a time; null for half of the places.
    pub client_max_in_flight: Option<NonZeroUsize>,
    /// Threads that decode and preprocess; each may need 8 bytes a pixel.
    pub decode_threads: NonZeroUsize,
    /// Memory for images that are being decoded; null for what the system leaves.
    pub decode_memory_mb: Option<NonZeroU32>,
    /// Memory for uploads; null for what the system leaves.
    pub upload_memory_mb: Option<NonZeroU32>,
}

impl LimitsConfig {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let threads = self.decode_threads.get() <= 1024;
        require(
            problems,
            threads,
            "limits.decode_threads",
            "more than 1024",
            "use about the number of cores",
        );
        let deadlines = self.deadline_ms.is_timeout()
            && self.max_deadline_ms.is_timeout()
            && self.deadline_ms <= self.max_deadline_ms;
        let advice = "use 1 to 3600000 milliseconds, deadline_ms no more than max_deadline_ms";
        require(problems, deadlines, "limits.deadline_ms", "out of range", advice);
        let in_flight = self.max_in_flight.get() <= 100_000;
        let advice = "use a number whose images fit in memory: max_in_flight times max_bytes";
        require(problems, in_flight, "limits.max_in_flight", "more than 100000", advice);
    }

    /// The limits of every client.
    pub fn of_a_client(&self) -> ClientLimits {
        ClientLimits {
            rate: self.client_requests_per_second.map(|per_second| (per_second, self.client_burst)),
            max_in_flight: self
                .client_max_in_flight
                .map_or(self.max_in_flight.get().div_ceil(2), NonZeroUsize::get),
        }
    }

    /// The limits in the form that decoding takes.
    pub const fn decode(&self) -> cxr::DecodeLimits {
        cxr::DecodeLimits {
            max_bytes: self.max_bytes.get(),
            max_pixels: self.max_pixels.get(),
            max_frames: self.max_frames.get(),
        }
    }
}
