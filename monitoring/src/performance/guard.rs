//! The guard: a sequential test that the share out of distribution is above three times the baseline's.
//!
//! Probabilities of images unlike the training data mean nothing, and an estimate that averages them is wrong
//! without a sign of it. Three in a row are seldom chance, so that the test takes few images.

use crate::evidence::Evidence;

/// Shares that the bets are best for.
const ALTERNATIVES: [f64; 3] = [0.1, 0.25, 0.5];
/// Standard normal quantile of 0.9: the baseline's share has an error of its own.
const Z: f64 = 1.281_551_565_544_6;
/// Images between two false alarms if the share is exactly at the limit. At the baseline's share there is
/// about one in three million images.
const THRESHOLD: f64 = 5000.0;

/// Evidence that the share is above the limit. State to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    cut: f64,
    limit: f64,
    evidence: Evidence,
}

impl Guard {
    /// `cut`: the `ood_score` above which an image is out of distribution; `n_out` of the `n` images of the
    /// baseline are above it.
    pub fn new(cut: f64, n_out: u64, n: u64) -> Self {
        let (n, share) = (n.max(1) as f64, n_out.min(n) as f64 / n.max(1) as f64);
        // Upper end of the score interval (Wilson 1927), a little above the share.
        let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let upper = (share + Z * Z / (2.0 * n) + half) / (1.0 + Z * Z / n);
        let limit = (3.0 * upper).min(0.8);
        Self { cut, limit, evidence: Evidence::new(ALTERNATIVES.len(), THRESHOLD) }
    }

    /// Three times the baseline's share, with its error.
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    pub fn is_out(&self, ood_score: f64) -> bool {
        ood_score.is_nan() || ood_score > self.cut
    }

    /// Takes the first image of a patient-day. Returns whether estimates have to be withheld.
    pub fn observe(&mut self, ood_score: f64) -> bool {
        let (is_out, limit) = (self.is_out(ood_score), self.limit);
        self.evidence.multiply(|bet| {
            let share = if ALTERNATIVES[bet] > limit { ALTERNATIVES[bet] } else { f64::midpoint(1.0, limit) };
            if is_out { share / limit } else { (1.0 - share) / (1.0 - limit) }
        });
        self.is_in_alarm()
    }

    pub const fn is_in_alarm(&self) -> bool {
        self.evidence.is_in_alarm()
    }

    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}
