//! Every metric, declared once. Label values come from closed sets, so that no client can grow the registry.

mod audit;
mod database;
mod declare;
mod operations;
mod page;

pub use super::labels::{ConnectionEnd, DropCause, ReloadResult, ShadowResult};
pub use operations::Operations;

use super::buckets::{BATCH_BUCKETS, DIFFERENCE_BUCKETS, DURATION_BUCKETS_SECONDS};
use cxr::RejectReason;
use cxr::decide::Verdict;
use database::DatabaseMetrics;
use declare::{Registry, counter, counters, gauge, gauges, histogram, histograms, read_counter};
use prometheus::{
    Encoder, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder,
};
use std::time::Duration;

/// The phases of one prediction, in order.
pub const PHASES: [&str; 7] = ["admission", "decode", "preprocess", "queue", "infer", "audit", "total"];

/// Handles to all metrics.
pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_duration: HistogramVec,
    connections: IntGauge,
    connections_ended: IntCounterVec,
    phase_duration: HistogramVec,
    predictions: IntCounterVec,
    rejections: IntCounterVec,
    repeats: IntCounter,
    refusals: IntCounterVec,
    dropped: IntCounterVec,
    batch_size: Histogram,
    waiting: IntGauge,
    reloads: IntCounterVec,
    shadow: IntCounterVec,
    shadow_difference: Histogram,
    in_flight: IntGauge,
    audit_failures: IntCounter,
    commit_rows: Histogram,
    tree_size: IntGauge,
    tree_anchored: IntGauge,
    tree_broken: IntGauge,
    foreign_leaves: IntGauge,
    sequencing: IntGauge,
    sequenced_after: Histogram,
    model_info: IntGaugeVec,
    execution_nodes: IntGaugeVec,
    ready: IntGauge,
    /// What an operator renews or provides.
    pub operations: Operations,
    database: DatabaseMetrics,
}

impl Metrics {
    /// Declares all metrics; `refusal_causes` are the codes that refusals before admission can have.
    ///
    /// # Errors
    /// When a declaration is malformed.
    #[expect(clippy::too_many_lines, reason = "a list")]
    pub fn new(refusal_causes: &[&str]) -> prometheus::Result<Self> {
        let registry = Registry::new();
        read_counter(
            &registry,
            "cxr_log_lines_dropped_total",
            "Log lines dropped because their reader is too slow or gone, or the disk is full.",
            super::logs::lines_dropped,
        )?;
        let metrics = Self {
            http_requests: counters(
                &registry,
                "cxr_http_requests_total",
                "Requests answered, by route template.",
                &["route", "method", "status"],
            )?,
            http_duration: histograms(
                &registry,
                "cxr_http_request_duration_seconds",
                "Time from request head to response head.",
                &["route", "method"],
            )?,
            connections: gauge(&registry, "cxr_connections", "Open connections.")?,
            connections_ended: counters(
                &registry,
                "cxr_connections_ended_total",
                "Connections closed by the service, by cause.",
                &["cause"],
            )?,
            phase_duration: histograms(
                &registry,
                "cxr_phase_duration_seconds",
                "Duration of a prediction by phase.",
                &["phase"],
            )?,
            predictions: counters(
                &registry,
                "cxr_predictions_total",
                "Predictions answered, by decision.",
                &["decision"],
            )?,
            repeats: counter(
                &registry,
                "cxr_repeated_answers_total",
                "Retries answered with the replayed first answer of their idempotency key.",
            )?,
            rejections: counters(
                &registry,
                "cxr_rejections_total",
                "Admitted images rejected, by reason; each has an audit row.",
                &["reason"],
            )?,
            refusals: counters(
                &registry,
                "cxr_refusals_total",
                "Requests refused before admission, by cause; these have no audit row.",
                &["cause"],
            )?,
            dropped: counters(
                &registry,
                "cxr_dropped_total",
                "Admitted images dropped before inference, by cause; each has an audit row.",
                &["cause"],
            )?,
            batch_size: histogram(&registry, "cxr_batch_size", "Images per batch.", BATCH_BUCKETS)?,
            waiting: gauge(&registry, "cxr_model_waiting", "Images waiting for a session.")?,
            reloads: counters(
                &registry,
                "cxr_model_reloads_total",
                "Model reloads, by result.",
                &["result"],
            )?,
            shadow: counters(
                &registry,
                "cxr_shadow_total",
                "Predictions offered to the candidate, by result.",
                &["result"],
            )?,
            shadow_difference: histogram(
                &registry,
                "cxr_shadow_probability_difference",
                "Absolute difference between the candidate's probability and the answer's.",
                DIFFERENCE_BUCKETS,
            )?,
            in_flight: gauge(&registry, "cxr_in_flight", "Admitted requests without an answer yet.")?,
            audit_failures: counter(
                &registry,
                "cxr_audit_failures_total",
                "Answers withheld because their audit row could not be committed.",
            )?,
            commit_rows: histogram(
                &registry,
                "cxr_audit_commit_rows",
                "Audit rows per commit.",
                BATCH_BUCKETS,
            )?,
            tree_size: gauge(&registry, "cxr_audit_tree_size", "Leaves of the audit tree, in the leader.")?,
            tree_anchored: gauge(
                &registry,
                "cxr_audit_tree_anchored_size",
                "Leaves under the newest checkpoint outside the database.",
            )?,
            tree_broken: gauge(
                &registry,
                "cxr_audit_tree_broken",
                "1 if the audit tree in the database does not continue its signed or anchored checkpoint.",
            )?,
            foreign_leaves: gauge(
                &registry,
                "cxr_audit_foreign_leaves",
                "Leaves in the database that this service did not write and does not sequence.",
            )?,
            sequencing: gauge(
                &registry,
                "cxr_audit_sequencing",
                "1 in the leader, the process that sequences the audit tree.",
            )?,
            sequenced_after: histogram(
                &registry,
                "cxr_audit_sequenced_after_seconds",
                "Age of the oldest row of a step when it was sequenced.",
                DURATION_BUCKETS_SECONDS,
            )?,
            model_info: gauges(
                &registry,
                "cxr_model_info",
                "The model being served; always 1.",
                &["name", "version", "digest", "variant"],
            )?,
            execution_nodes: gauges(
                &registry,
                "cxr_execution_nodes",
                "Graph nodes, by execution provider.",
                &["provider"],
            )?,
            ready: gauge(&registry, "cxr_ready", "1 if the last readiness check passed.")?,
            operations: Operations::new(&registry)?,
            database: DatabaseMetrics::new(&registry)?,
            registry,
        };
        metrics.start_at_zero(refusal_causes);
        Ok(metrics)
    }

    /// A series that appears only with its first event hides that event from `rate()`.
    fn start_at_zero(&self, refusal_causes: &[&str]) {
        for reason in RejectReason::ALL {
            self.rejections.with_label_values(&[reason.code()]);
        }
        for verdict in Verdict::ALL {
            self.predictions.with_label_values(&[verdict.code()]);
        }
        for cause in refusal_causes {
            self.refusals.with_label_values(&[*cause]);
        }
        for cause in ConnectionEnd::ALL {
            self.connections_ended.with_label_values(&[cause.label()]);
        }
        for cause in [DropCause::Expired, DropCause::Abandoned] {
            self.dropped.with_label_values(&[cause.label()]);
        }
        for result in [ReloadResult::Swapped, ReloadResult::Unchanged, ReloadResult::Refused] {
            self.reloads.with_label_values(&[result.label()]);
        }
        for result in ShadowResult::ALL {
            self.shadow.with_label_values(&[result.label()]);
        }
        for phase in PHASES {
            self.phase_duration.with_label_values(&[phase]);
        }
    }

    /// One answered request.
    pub fn request(&self, route: &str, method: &str, status: u16, duration: Duration) {
        self.http_requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.http_duration.with_label_values(&[route, method]).observe(duration.as_secs_f64());
    }

    /// Counts a connection until the guard is dropped.
    pub fn connected(&self) -> Counted {
        Counted::new(&self.connections)
    }

    /// One connection that the service ended.
    pub fn connection_ended(&self, cause: ConnectionEnd) {
        self.connections_ended.with_label_values(&[cause.label()]).inc();
    }

    /// One phase of one prediction.
    pub fn phase(&self, phase: &str, milliseconds: f64) {
        self.phase_duration.with_label_values(&[phase]).observe(milliseconds / 1e3);
    }

    /// One prediction answered.
    pub fn predicted(&self, decision: &str) {
        self.predictions.with_label_values(&[decision]).inc();
    }

    /// One admitted image rejected.
    pub fn rejected(&self, reason: RejectReason) {
        self.rejections.with_label_values(&[reason.code()]).inc();
    }

    /// One retry that got an earlier answer.
    pub fn repeated(&self) {
        self.repeats.inc();
    }

    /// Those of the database.
    pub const fn database(&self) -> &DatabaseMetrics {
        &self.database
    }

    /// One request refused before admission.
    pub fn refused(&self, cause: &str) {
        self.refusals.with_label_values(&[cause]).inc();
    }

    /// One admitted image that never met the model.
    pub fn dropped(&self, cause: DropCause) {
        self.dropped.with_label_values(&[cause.label()]).inc();
    }

    /// One batch that ran.
    pub fn batch(&self, n: usize) {
        self.batch_size.observe(n as f64);
    }

    /// How many images wait for a session.
    pub fn waiting(&self, n: usize) {
        self.waiting.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// One attempt to take over another bundle.
    pub fn reloaded(&self, result: ReloadResult) {
        self.reloads.with_label_values(&[result.label()]).inc();
    }

    /// One prediction offered to the candidate.
    pub fn shadowed(&self, result: ShadowResult) {
        self.shadow.with_label_values(&[result.label()]).inc();
    }

    /// How far its probability was from the answer's.
    pub fn shadow_differed(&self, difference: f64) {
        self.shadow_difference.observe(difference);
    }

    /// Counts an admitted request until the guard is dropped.
    pub fn admitted(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    /// The model that serves.
    pub fn serving(&self, name: &str, version: &str, digest: &str, variant: &str) {
        self.model_info.reset();
        self.model_info.with_label_values(&[name, version, digest, variant]).set(1);
    }

    /// Where its nodes execute.
    pub fn executing<'a>(&self, nodes: impl Iterator<Item = (&'a str, usize)>) {
        self.execution_nodes.reset();
        for (provider, n) in nodes {
            self.execution_nodes.with_label_values(&[provider]).set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    /// Outcome of the last readiness check.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Every metric there is, as docs/METRICS.md shows them.
    pub fn tables(&self) -> String {
        page::tables(&self.registry.families(), &self.registry.gather())
    }

    /// The exposition in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn exposition(&self) -> prometheus::Result<String> {
        self.operations.sample();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// An admitted request or a connection; dropped when it ends, however it ends.
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
