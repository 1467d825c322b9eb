//! Metrics: `families` declares each of them once, and the methods here and beside record them.

mod audit;
mod declare;
mod families;
mod monitoring;
mod operations;
mod page;

pub use monitoring::MonitoringResults;

pub use super::labels::{ConnectionEnd, DropCause, ReloadResult, ShadowResult};
pub use declare::Format;

use cxr::RejectReason;
use cxr::decide::DecisionKind;
use declare::{IntCounterVec, IntGauge, Registry, TracedHistogram};
use families::{Cxr, Monitoring, Process};
use operations::{Sampler, seconds, signed};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

/// The phases of one prediction, in order.
pub const PHASES: [&str; 7] = ["admission", "decode", "preprocess", "queue", "infer", "audit", "total"];

pub struct Metrics {
    registry: Registry,
    cxr: Cxr,
    monitoring: Monitoring,
    process: Process,
    samplers: Mutex<Vec<Sampler>>,
    n_committed: AtomicU64,
}

impl Metrics {
    /// Registers all metrics; `refusal_causes` are the codes that refusals before admission can have.
    pub fn new(refusal_causes: &[&str]) -> Self {
        let mut registry = Registry::default();
        let (cxr, process) = (Cxr::register(&mut registry), Process::register(&mut registry));
        let monitoring = Monitoring::register(&mut registry);
        cxr.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        process.start_time_seconds.set(seconds(SystemTime::now()));
        let metrics = Self {
            registry,
            cxr,
            monitoring,
            process,
            samplers: Mutex::default(),
            n_committed: AtomicU64::default(),
        };
        metrics.start_at_zero(refusal_causes);
        metrics
    }

    /// `rate()` misses the first event of a series that appears only with that event.
    fn start_at_zero(&self, refusal_causes: &[&str]) {
        let start = |metric: &IntCounterVec, labels: &[&str]| {
            for label in labels {
                metric.with_label_values(&[*label]);
            }
        };
        start(&self.cxr.rejections_total, &RejectReason::ALL.map(RejectReason::code));
        start(&self.cxr.predictions_total, &DecisionKind::ALL.map(DecisionKind::code));
        start(&self.cxr.refusals_total, refusal_causes);
        start(&self.cxr.connections_ended_total, ConnectionEnd::ALL);
        start(&self.cxr.dropped_total, DropCause::ALL);
        start(&self.cxr.model_reloads_total, ReloadResult::ALL);
        start(&self.cxr.shadow_total, ShadowResult::ALL);
        for phase in PHASES {
            self.cxr.phase_duration_seconds.with_label_values(&[phase]);
        }
    }

    /// `trace_id` is that of a sampled trace, as for [`phase`](Self::phase).
    pub fn request(
        &self,
        route: &str,
        method: &str,
        status: u16,
        duration: Duration,
        trace_id: Option<String>,
    ) {
        self.cxr.http_requests_total.with_label_values(&[route, method, &status.to_string()]).inc();
        let durations = self.cxr.http_request_duration_seconds.with_label_values(&[route, method]);
        observe(&durations, duration.as_secs_f64(), trace_id);
    }

    /// Counts an open connection until the guard is dropped.
    pub fn connected(&self) -> Counted {
        Counted::new(&self.cxr.connections)
    }

    pub fn connection_ended(&self, cause: ConnectionEnd) {
        self.cxr.connections_ended_total.with_label_values(&[cause.label()]).inc();
    }

    pub fn phase(&self, phase: &str, milliseconds: f64, trace_id: Option<String>) {
        let durations = self.cxr.phase_duration_seconds.with_label_values(&[phase]);
        observe(&durations, milliseconds / 1e3, trace_id);
    }

    pub fn predicted(&self, decision: &str) {
        self.cxr.predictions_total.with_label_values(&[decision]).inc();
    }

    pub fn rejected(&self, reason: RejectReason) {
        self.cxr.rejections_total.with_label_values(&[reason.code()]).inc();
    }

    pub fn replayed(&self) {
        self.cxr.repeated_answers_total.inc();
    }

    pub fn answer_changed(&self) {
        self.cxr.changed_answers_total.inc();
    }

    pub fn refused(&self, cause: &str) {
        self.cxr.refusals_total.with_label_values(&[cause]).inc();
    }

    pub fn dropped(&self, cause: DropCause) {
        self.cxr.dropped_total.with_label_values(&[cause.label()]).inc();
    }

    pub fn batch(&self, n: usize) {
        self.cxr.batch_size.observe(n as f64);
    }

    pub fn waiting(&self, n: usize) {
        self.cxr.model_waiting.set(signed(n as u64));
    }

    pub fn reloaded(&self, result: ReloadResult) {
        self.cxr.model_reloads_total.with_label_values(&[result.label()]).inc();
    }

    pub fn shadowed(&self, result: ShadowResult) {
        self.cxr.shadow_total.with_label_values(&[result.label()]).inc();
    }

    pub fn shadow_differed(&self, difference: f64) {
        self.cxr.shadow_probability_difference.observe(difference);
    }

    /// Counts an admitted request until the guard is dropped.
    pub fn admitted(&self) -> Counted {
        Counted::new(&self.cxr.in_flight)
    }

    pub fn serving(&self, name: &str, version: &str, digest: &str, variant: &str) {
        self.cxr.model_info.reset();
        self.cxr.model_info.with_label_values(&[name, version, digest, variant]).set(1);
    }

    pub fn executing<'a>(&self, nodes: impl Iterator<Item = (&'a str, usize)>) {
        self.cxr.execution_nodes.reset();
        for (provider, n) in nodes {
            self.cxr.execution_nodes.with_label_values(&[provider]).set(signed(n as u64));
        }
    }

    pub fn model_advisory(&self, advisory: bool) {
        self.cxr.model_advisory.set(i64::from(advisory));
    }

    pub fn ready(&self, ready: bool) {
        self.cxr.ready.set(i64::from(ready));
    }

    pub fn tables(&self) -> String {
        page::tables(&self.registry.families(), &self.registry.text(Format::Text).unwrap_or_default())
    }

    /// What a scrape gets.
    pub fn exposition(&self, format: Format) -> Result<String, fmt::Error> {
        self.sample();
        self.registry.text(format)
    }
}

fn observe(durations: &TracedHistogram, seconds: f64, trace_id: Option<String>) {
    let exemplar = trace_id.map(|id| [("trace_id", id)]);
    durations.observe(seconds, exemplar, Some(SystemTime::now()));
}

/// Counts an admitted request or a connection until it is dropped.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
