//! What the database's side of the service tells.

use super::declare::{Declared, Registry, counter, number};
use prometheus::{Gauge, IntCounter};

/// Metrics of the database and of what is read back from it.
pub struct DatabaseMetrics {
    clock_difference: Gauge,
    changed_answers: IntCounter,
}

impl DatabaseMetrics {
    pub(super) fn new(registry: &Registry) -> Declared<Self> {
        Ok(Self {
            clock_difference: number(
                registry,
                "cxr_database_clock_difference_seconds",
                "How far this process's clock is ahead of the database's, at the last readiness check.",
            )?,
            changed_answers: counter(
                registry,
                "cxr_changed_answers_total",
                "Retries refused because the stored answer was changed.",
            )?,
        })
    }

    /// How far this process's clock is ahead.
    pub fn clock_difference(&self, ahead_s: f64) {
        self.clock_difference.set(ahead_s);
    }

    /// One retry whose earlier answer was changed in the database.
    pub fn answer_changed(&self) {
        self.changed_answers.inc();
    }
}
