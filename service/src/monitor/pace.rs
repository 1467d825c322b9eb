//! How fast the job works: at once while no client waits, and in small steps with long pauses while
//! predictions are made.

use crate::config::monitoring::MonitoringConfig;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most leaves of a step, and most while predictions are made.
const STEP: usize = 2000;
const SMALL_STEP: usize = 100;
/// A prediction within this time means that there is traffic.
const RECENTLY: Duration = Duration::from_secs(2);
/// With traffic, the job works at most this share of the time: fewer predictions than one in a hundred meet
/// it.
const SHARE_WITH_TRAFFIC: u32 = 200;

pub(super) struct Pace {
    interval: Duration,
    metrics: Arc<Metrics>,
    n_committed: u64,
    last_seen: Option<Instant>,
}

impl Pace {
    pub(super) fn new(config: &MonitoringConfig, metrics: Arc<Metrics>) -> Self {
        let n_committed = metrics.n_committed();
        Self { interval: config.interval_ms.duration(), metrics, n_committed, last_seen: None }
    }

    fn has_traffic(&mut self) -> bool {
        let n = self.metrics.n_committed();
        if n != self.n_committed {
            self.n_committed = n;
            self.last_seen = Some(Instant::now());
        }
        self.last_seen.is_some_and(|seen| seen.elapsed() < RECENTLY)
    }

    /// Leaves of the next step.
    pub(super) fn limit(&mut self) -> usize {
        if self.has_traffic() { SMALL_STEP } else { STEP }
    }

    /// Pause after a step that took this long.
    pub(super) fn pause(&mut self, took: Duration, is_behind: bool) -> Duration {
        if !is_behind {
            self.interval
        } else if self.has_traffic() {
            (took * SHARE_WITH_TRAFFIC).min(self.interval)
        } else {
            Duration::ZERO
        }
    }
}
