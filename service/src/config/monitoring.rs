//! `service.monitoring`: the job that reads the log, its budget of false alarms, and contractual limits.

use super::values::{Bounded, Checked, Millis, Rule, Timeout, ensure, rules};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitoringConfig {
    /// Whether this replica may lead the job. Every replica shows the results.
    pub enabled: bool,
    pub interval_ms: Timeout,
    pub results_interval_ms: Timeout,
    pub pages_per_year: Checked<PerYear>,
    pub tickets_per_year: Checked<PerYear>,
    pub review_sample: ReviewSampleConfig,
    pub limits: PerformanceLimits,
    pub labels_complete: bool,
    pub label_delay_days: Bounded<u32, 1, 3650>,
    pub escalate_after_ms: Millis<60_000, 2_592_000_000>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewSampleConfig {
    pub rate: Checked<Rate>,
}

/// What the site was promised.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerformanceLimits {
    pub sensitivity: Option<Checked<Limit>>,
    pub specificity: Option<Checked<Limit>>,
}

rules! {
    PerYear(f64): "use 0.01 to 1000 a year",
        |n| ensure((0.01..=1000.0).contains(n), "out of range");

    Rate(f64): "use a share from 0 to 1, such as 0.02",
        |rate| ensure((0.0..=1.0).contains(rate), "out of range");

    Limit(f64): "use a share from 0.01 to 0.999, such as 0.9, or null",
        |limit| ensure((0.01..=0.999).contains(limit), "out of range");
}
