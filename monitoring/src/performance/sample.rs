//! The review sample: negatives that are drawn to be read, so that misses can be counted without bias.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Probabilities of being drawn, by score band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// An image is near the threshold from this share of it on.
    pub near_from: f64,
    pub near: f64,
    pub far: f64,
}

impl Default for Plan {
    /// Misses lie near the threshold more often than far below it.
    fn default() -> Self {
        Self { near_from: 0.5, near: 0.2, far: 0.05 }
    }
}

impl Plan {
    /// Stratum and inclusion probability of an image. Those that require a review are read anyway.
    pub fn stratum(&self, probability: f64, threshold: f64, review_required: bool) -> (&'static str, f64) {
        if review_required {
            ("reviewed", 1.0)
        } else if probability >= threshold {
            ("positive", self.near)
        } else if probability >= self.near_from * threshold {
            ("near", self.near)
        } else {
            ("far", self.far)
        }
    }

    /// Inverse of the least inclusion probability.
    pub fn max_weight(&self) -> f64 {
        1.0 / self.near.min(self.far)
    }
}

/// Whether the image is drawn: HMAC-SHA256 of its id, as a number in [0, 1), is below `pi`. The key
/// keeps clients from knowing which images will be read.
pub fn draw(key: &[u8], id: Uuid, pi: f64) -> bool {
    uniform(key, id) < pi
}

fn uniform(key: &[u8], id: Uuid) -> f64 {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(id.as_bytes());
    let tag = mac.finalize().into_bytes();
    // The 53 bits that a double holds exactly.
    let high = tag[..8].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)) >> 11;
    high as f64 / (1u64 << 53) as f64
}
