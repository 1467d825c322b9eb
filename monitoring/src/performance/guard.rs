//! The guard: a sequential test that the share out of distribution is above three times the baseline's.

use super::Scored;

/// Shiryaev-Roberts evidence against "at most three times the baseline's share". State to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    limit: f64,
}

impl Guard {
    /// `cut`: `ood_score` above which an image is out of distribution (the bundle's `ood_threshold`, or a
    /// quantile of the baseline); `n_out` of `n` images of the baseline are above it.
    pub fn new(cut: f64, n_out: u64, n: u64) -> Self {
        todo!()
    }
    /// Returns whether the estimate has to be withheld.
    pub fn observe(&mut self, image: &Scored) -> bool {
        todo!()
    }
}
