//! What an operator renews or provides: key sets, certificates, the anchor, connections to the database, the process itself.

use super::declare::{Declared, Registry, counters, fractional_counter, gauge, gauges};
use crate::telemetry::process;
use prometheus::{Counter, IntCounterVec, IntGauge, IntGaugeVec};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Sets what is only looked at when somebody asks.
type Sampler = Box<dyn Fn(&Operations) + Send + Sync>;

/// Handles to these metrics.
pub struct Operations {
    key_set_fetched: IntGaugeVec,
    key_set_failures: IntCounterVec,
    certificate_expires: IntGaugeVec,
    anchor_written: IntGauge,
    connections: IntGaugeVec,
    connections_awaited: IntGaugeVec,
    memory: IntGauge,
    processor_time: Counter,
    files_open: IntGauge,
    files_most: IntGauge,
    threads: IntGauge,
    samplers: Mutex<Vec<Sampler>>,
}

impl Operations {
    pub(super) fn new(registry: &Registry) -> Declared<Self> {
        let build = gauges(registry, "cxr_build_info", "Version of the program; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let started = "Unix time at which the process started.";
        gauge(registry, "process_start_time_seconds", started)?.set(seconds(SystemTime::now()));
        Ok(Self {
            key_set_fetched: gauges(
                registry,
                "cxr_key_set_fetched_timestamp_seconds",
                "Unix time of the last successful fetch of a key set, by its position in auth.keys; 0 before the first.",
                &["source"],
            )?,
            key_set_failures: counters(
                registry,
                "cxr_key_set_fetch_failures_total",
                "Failed fetches of a key set, by its position in auth.keys.",
                &["source"],
            )?,
            certificate_expires: gauges(
                registry,
                "cxr_tls_certificate_expires_timestamp_seconds",
                "Unix time at which the TLS certificate expires, by section of the configuration.",
                &["section"],
            )?,
            anchor_written: gauge(
                registry,
                "cxr_audit_anchor_written_timestamp_seconds",
                "Unix time at which this process last wrote a checkpoint to the anchor; 0 if never.",
            )?,
            connections: gauges(
                registry,
                "cxr_database_connections",
                "Open database connections, by pool and state.",
                &["pool", "state"],
            )?,
            connections_awaited: gauges(
                registry,
                "cxr_database_connections_awaited",
                "Requests waiting for a database connection, by pool.",
                &["pool"],
            )?,
            memory: gauge(registry, "process_resident_memory_bytes", "Resident memory size in bytes.")?,
            processor_time: fractional_counter(
                registry,
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            )?,
            files_open: gauge(registry, "process_open_fds", "Number of open file descriptors.")?,
            files_most: gauge(registry, "process_max_fds", "Maximum number of open file descriptors.")?,
            threads: gauge(registry, "process_threads", "Number of OS threads in the process.")?,
            samplers: Mutex::default(),
        })
    }

    /// From now on `sampler` is called whenever somebody asks for the metrics.
    pub fn watch(&self, sampler: impl Fn(&Self) + Send + Sync + 'static) {
        self.samplers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(sampler));
    }

    /// Looks at everything that is only looked at when somebody asks.
    pub(super) fn sample(&self) {
        let usage = process::usage();
        self.memory.set(signed(usage.resident_bytes));
        self.threads.set(signed(usage.n_threads));
        self.files_open.set(signed(usage.n_files_open));
        self.files_most.set(signed(usage.most_files));
        self.processor_time.inc_by((usage.processor_time.as_secs_f64() - self.processor_time.get()).max(0.0));
        for sampler in self.samplers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            sampler(self);
        }
    }

    /// How fetching a published key set goes.
    pub fn key_set(&self, position: usize, fetched_at: Option<SystemTime>, n_failures: u64) {
        let source = position.to_string();
        self.key_set_fetched.with_label_values(&[&source]).set(fetched_at.map_or(0, seconds));
        let failures = self.key_set_failures.with_label_values(&[&source]);
        failures.inc_by(n_failures.saturating_sub(failures.get()));
    }

    /// The certificate that is served.
    pub fn certificate(&self, section: &str, expires: SystemTime) {
        self.certificate_expires.with_label_values(&[section]).set(seconds(expires));
    }

    /// A checkpoint was written to the anchor just now.
    pub(super) fn anchor_written(&self) {
        self.anchor_written.set(seconds(SystemTime::now()));
    }

    /// How a pool of connections is used.
    pub fn pool(&self, pool: &str, n_open: usize, n_idle: usize, n_waiting: usize) {
        let connections = |state: &str, n: usize| {
            self.connections.with_label_values(&[pool, state]).set(signed(n as u64));
        };
        connections("idle", n_idle);
        connections("in_use", n_open.saturating_sub(n_idle));
        self.connections_awaited.with_label_values(&[pool]).set(signed(n_waiting as u64));
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn seconds(moment: SystemTime) -> i64 {
    signed(moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
