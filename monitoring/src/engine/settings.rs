//! Settings that change what detectors do; each change is a decision in the log of the job.

use crate::performance::sample::Plan;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// False alarms a year of detectors that page, and of the others.
    pub pages_per_year: f64,
    pub tickets_per_year: f64,
    /// Contractual limits.
    pub sensitivity: Option<f64>,
    pub specificity: Option<f64>,
    /// Share of the negatives far from the threshold that the review sample draws.
    pub sample_rate: f64,
    /// Whether the site labels every image, so that labels without an inclusion probability count.
    pub labels_complete: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pages_per_year: 1.0,
            tickets_per_year: 4.0,
            sensitivity: None,
            specificity: None,
            sample_rate: 0.02,
            labels_complete: false,
        }
    }
}

impl Settings {
    /// Negatives near the threshold are drawn five times as often: most misses are there.
    pub fn plan(&self) -> Plan {
        let far = self.sample_rate.clamp(0.0, 1.0);
        Plan { near: (5.0 * far).min(1.0), far, ..Plan::default() }
    }
}
