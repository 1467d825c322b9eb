//! Records what an operator renews or provides: key sets, certificates, the database, the process.

use super::Metrics;
use crate::telemetry::{log_output, process};
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

/// Sets metrics just before an exposition.
pub(super) type Sampler = Box<dyn Fn(&Metrics) + Send + Sync>;

impl Metrics {
    /// Calls `sampler` before every exposition.
    pub fn watch(&self, sampler: impl Fn(&Self) + Send + Sync + 'static) {
        self.samplers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(sampler));
    }

    /// Updates the metrics that are read from elsewhere.
    pub(super) fn sample(&self) {
        // Held throughout: of two expositions at once, both would add the same difference to a counter.
        let samplers = self.samplers.lock().unwrap_or_else(PoisonError::into_inner);
        let (usage, process) = (process::usage(), &self.process);
        process.resident_memory_bytes.set(signed(usage.resident_bytes));
        process.threads.set(signed(usage.n_threads));
        process.open_fds.set(signed(usage.n_files_open));
        process.max_fds.set(signed(usage.most_files));
        let cpu = &process.cpu_seconds_total;
        cpu.inc_by((usage.processor_time.as_secs_f64() - cpu.get()).max(0.0));
        let dropped = &self.cxr.log_lines_dropped_total;
        dropped.inc_by(log_output::lines_dropped().saturating_sub(dropped.get()));
        samplers.iter().for_each(|sampler| sampler(self));
    }

    pub fn key_set(&self, position: usize, fetched_at: Option<SystemTime>, n_failures: u64) {
        let source = position.to_string();
        let fetched = self.cxr.key_set_fetched_timestamp_seconds.with_label_values(&[&source]);
        fetched.set(fetched_at.map_or(0, seconds));
        let failures = self.cxr.key_set_fetch_failures_total.with_label_values(&[&source]);
        failures.inc_by(n_failures.saturating_sub(failures.get()));
    }

    pub fn certificate(&self, section: &str, expires: SystemTime) {
        let metric = self.cxr.tls_certificate_expires_timestamp_seconds.with_label_values(&[section]);
        metric.set(seconds(expires));
    }

    pub fn pool(&self, pool: &str, n_open: usize, n_idle: usize, n_waiting: usize) {
        let connections = |state: &str, n: usize| {
            self.cxr.database_connections.with_label_values(&[pool, state]).set(signed(n as u64));
        };
        connections("idle", n_idle);
        connections("in_use", n_open.saturating_sub(n_idle));
        self.cxr.database_connections_awaited.with_label_values(&[pool]).set(signed(n_waiting as u64));
    }

    pub fn spans_sent(&self, n: u64) {
        self.cxr.trace_spans_sent_total.inc_by(n);
    }

    pub fn spans_dropped(&self, n: u64) {
        self.cxr.trace_spans_dropped_total.inc_by(n);
    }

    pub fn clock_difference(&self, ahead_s: f64) {
        self.cxr.database_clock_difference_seconds.set(ahead_s);
    }
}

pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn seconds(moment: SystemTime) -> i64 {
    signed(moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
