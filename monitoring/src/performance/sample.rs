//! The review sample: negatives that are drawn to be read, so that misses can be counted without bias.

use uuid::Uuid;

/// Score bands of negatives, with the probability of being drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Negatives with a probability of at least this share of the threshold are near it.
    pub near_from: f64,
    pub near: f64,
    pub far: f64,
}

/// Band and inclusion probability of an image that does not require a review. `None` for one that does: it
/// is read anyway.
pub fn stratum(plan: &Plan, probability: f64, threshold: f64) -> Option<(&'static str, f64)> {
    todo!()
}

/// Whether the image is in the sample: HMAC-SHA256 of its id, read as a number in [0, 1), is below `pi`.
pub fn draw(key: &[u8], id: Uuid, pi: f64) -> bool {
    todo!()
}
