//! Every metric, declared once; the comment of each is its help text. Label values come from closed sets, so
//! that no client can grow the registry.

use super::declare::{
    Counter, Family, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Metric, Registry, metrics,
};

/// Steps of about 1.5 from 0.2 ms (admitting a small upload) to 0.5 s, where objectives lie, so that a
/// quantile is off by a quarter at most; wider ones to 16 s (a stalled database before its timeout).
const SECONDS: &[f64] = &[
    0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0,
];

/// Powers of two up to the largest batch of a GPU.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Probabilities that are equal, that differ by rounding, and that differ visibly.
const DIFFERENCES: &[f64] = &[0.0, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

metrics! {
    /// What only this service has.
    struct Cxr("cxr_") {
        /// Requests answered, by route template.
        http_requests_total: IntCounterVec["route", "method", "status"],
        /// Time from request head to response head.
        http_request_duration_seconds: HistogramVec["route", "method"] in SECONDS,
        /// Open connections.
        connections: IntGauge,
        /// Connections closed by the service, by cause.
        connections_ended_total: IntCounterVec["cause"],
        /// Duration of a prediction by phase.
        phase_duration_seconds: HistogramVec["phase"] in SECONDS,
        /// Predictions answered, by decision.
        predictions_total: IntCounterVec["decision"],
        /// Retries answered with the replayed first answer of their idempotency key.
        repeated_answers_total: IntCounter,
        /// Retries refused because the stored answer was changed.
        changed_answers_total: IntCounter,
        /// Admitted images rejected, by reason; each has an audit row.
        rejections_total: IntCounterVec["reason"],
        /// Requests refused before admission, by cause; these have no audit row.
        refusals_total: IntCounterVec["cause"],
        /// Admitted images dropped before inference, by cause; each has an audit row.
        dropped_total: IntCounterVec["cause"],
        /// Admitted requests without an answer yet.
        in_flight: IntGauge,

        /// Images per batch.
        batch_size: Histogram in SIZES,
        /// Images waiting for a session.
        model_waiting: IntGauge,
        /// The model being served; always 1.
        model_info: IntGaugeVec["name", "version", "digest", "variant"],
        /// Graph nodes, by execution provider.
        execution_nodes: IntGaugeVec["provider"],
        /// Model reloads, by result.
        model_reloads_total: IntCounterVec["result"],
        /// Predictions offered to the candidate, by result.
        shadow_total: IntCounterVec["result"],
        /// Absolute difference between the candidate's probability and the answer's.
        shadow_probability_difference: Histogram in DIFFERENCES,

        /// Answers withheld because their audit row could not be committed.
        audit_failures_total: IntCounter,
        /// Audit rows per commit.
        audit_commit_rows: Histogram in SIZES,
        /// Leaves of the audit tree, in the leader.
        audit_tree_size: IntGauge,
        /// Leaves under the newest checkpoint outside the database.
        audit_tree_anchored_size: IntGauge,
        /// Unix time at which this process last wrote a checkpoint to the anchor; 0 if never.
        audit_anchor_written_timestamp_seconds: IntGauge,
        /// 1 if the audit tree in the database does not continue its signed or anchored checkpoint.
        audit_tree_broken: IntGauge,
        /// Leaves in the database that this service did not write and does not sequence.
        audit_foreign_leaves: IntGauge,
        /// 1 in the leader, the process that sequences the audit tree.
        audit_sequencing: IntGauge,
        /// Age of the oldest row of a step when it was sequenced.
        audit_sequenced_after_seconds: Histogram in SECONDS,

        /// 1 if the last readiness check passed.
        ready: IntGauge,
        /// Version of the program; always 1.
        build_info: IntGaugeVec["version"],
        /// Log lines dropped because their reader is too slow or gone, or the disk is full.
        log_lines_dropped_total: IntCounter,
        /// Spans that the trace collector took.
        trace_spans_sent_total: IntCounter,
        /// Spans dropped because their queue was full or the trace collector did not take them.
        trace_spans_dropped_total: IntCounter,
        /// Unix time of the last successful fetch of a key set, by its position in auth.keys; 0 before the
        /// first.
        key_set_fetched_timestamp_seconds: IntGaugeVec["source"],
        /// Failed fetches of a key set, by its position in auth.keys.
        key_set_fetch_failures_total: IntCounterVec["source"],
        /// Unix time at which the TLS certificate expires, by section of the configuration.
        tls_certificate_expires_timestamp_seconds: IntGaugeVec["section"],
        /// Open database connections, by pool and state.
        database_connections: IntGaugeVec["pool", "state"],
        /// Requests waiting for a database connection, by pool.
        database_connections_awaited: IntGaugeVec["pool"],
        /// How far this process's clock is ahead of the database's, at the last readiness check.
        database_clock_difference_seconds: Gauge,
    }
}

metrics! {
    /// What Prometheus' libraries for other languages report under the same names.
    struct Process("process_") {
        /// Unix time at which the process started.
        start_time_seconds: IntGauge,
        /// Resident memory size in bytes.
        resident_memory_bytes: IntGauge,
        /// Total user and system CPU time spent in seconds.
        cpu_seconds_total: Counter,
        /// Number of open file descriptors.
        open_fds: IntGauge,
        /// Maximum number of open file descriptors.
        max_fds: IntGauge,
        /// Number of OS threads in the process.
        threads: IntGauge,
    }
}
