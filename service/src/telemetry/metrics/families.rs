//! Every metric, declared once; the comment of each is its help text. Label values come from closed sets, so
//! that no client can grow the registry.

use super::declare::{
    Counter, Family, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Metric, Registry, metrics,
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
        /// 1 while the model is out of service: every image is referred.
        model_advisory: IntGauge,
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
    /// Results of monitoring. The leader computes them and every replica exports the same ones; a figure that
    /// does not exist has no series.
    #[expect(clippy::struct_field_names, reason = "the names of the metrics")]
    struct Monitoring("cxr_") {
        /// 1 in the replica that computes monitoring.
        monitoring_leader: IntGauge,
        /// Unix time at which this process last read the results of monitoring; 0 before the first.
        monitoring_results_read_timestamp_seconds: IntGauge,
        /// Unix time at which monitoring last committed a step; 0 if this process has not read it yet.
        monitoring_step_timestamp_seconds: IntGauge,
        /// Unix time at which the newest row that monitoring has read was received; 0 before the first.
        monitoring_last_row_timestamp_seconds: IntGauge,
        /// Leaves of the audit tree that monitoring has not read yet.
        monitoring_rows_behind: IntGauge,
        /// Streams that are monitored.
        monitoring_streams: IntGauge,
        /// Streams beyond the limit, whose images count only in the slice of all images.
        monitoring_streams_pooled: IntGauge,
        /// Alarms that are not resolved.
        monitoring_alarms: GaugeVec["site", "version", "variant", "slice", "detector", "severity", "state"],
        /// Unix time at which the baseline of a stream was approved.
        baseline_approved_timestamp_seconds: GaugeVec["site", "version", "variant", "slice"],

        /// Images in the audit log, by outcome.
        images: GaugeVec["site", "version", "variant", "slice", "outcome"],
        /// Rejected images in the audit log, by reason.
        images_rejected: GaugeVec["site", "version", "variant", "slice", "reason"],

        /// Evidence of a change, by group of quantities; at the threshold it raises an alarm.
        drift_evidence: GaugeVec["site", "version", "variant", "slice", "group"],
        /// Evidence that raises an alarm: the expected number of images between false alarms.
        drift_threshold: GaugeVec["site", "version", "variant", "slice", "group"],
        /// 1 if the simulation showed that false alarms stay within the budget.
        drift_armed: GaugeVec["site", "version", "variant", "slice", "group"],
        /// 1 while in alarm.
        drift_alarm: GaugeVec["site", "version", "variant", "slice", "group"],
        /// Evidence of a change, by detector; at the threshold it raises an alarm.
        detector_evidence: GaugeVec["site", "version", "variant", "slice", "detector"],
        /// Evidence that raises an alarm: the expected number of images between false alarms.
        detector_threshold: GaugeVec["site", "version", "variant", "slice", "detector"],
        /// 1 if the simulation showed that false alarms stay within the budget.
        detector_armed: GaugeVec["site", "version", "variant", "slice", "detector"],
        /// 1 while in alarm.
        detector_alarm: GaugeVec["site", "version", "variant", "slice", "detector"],
        /// Mean of 2p - 1 over the last images, with p the rank in the baseline; slice of all images only.
        drift_shift: GaugeVec["site", "version", "variant", "slice", "quantity"],

        /// Share of the last images above the baseline's 99th percentile of ood_score (95 % interval).
        ood_share: GaugeVec["site", "version", "variant", "slice", "bound"],
        /// The same share in the baseline.
        ood_baseline_share: GaugeVec["site", "version", "variant", "slice"],
        /// Estimated share of positives over the last images, with its 95 % interval.
        prevalence: GaugeVec["site", "version", "variant", "slice", "bound"],
        /// Estimated share of positives in the baseline.
        prevalence_baseline: GaugeVec["site", "version", "variant", "slice"],

        /// 1 for the status of the estimate without labels.
        estimate_status: GaugeVec["site", "version", "variant", "slice", "status"],
        /// Performance estimated without labels, with its 95 % interval.
        estimated_performance: GaugeVec["site", "version", "variant", "slice", "figure", "bound"],
        /// While withheld: the figure if every image out of distribution was answered wrongly.
        estimated_worst_case: GaugeVec["site", "version", "variant", "slice", "figure"],
        /// 1 for the status of the performance by labels.
        realised_status: GaugeVec["site", "version", "variant", "slice", "status"],
        /// Performance by labels, with its 95 % interval.
        realised_performance: GaugeVec["site", "version", "variant", "slice", "figure", "bound"],
        /// Contractual limit of a figure.
        performance_limit: GaugeVec["site", "version", "variant", "slice", "figure"],
        /// 1 for the status of the calibration.
        calibration_status: GaugeVec["site", "version", "variant", "slice", "status"],
        /// Expected calibration error (l2 norm), with its 95 % interval.
        calibration_error: GaugeVec["site", "version", "variant", "slice", "bound"],
        /// Mean of label minus probability, with its 95 % interval.
        calibration_bias: GaugeVec["site", "version", "variant", "slice", "bound"],

        /// Images with a label, by class.
        labelled_images: GaugeVec["site", "version", "variant", "slice", "class"],
        /// Share of images with a label.
        label_coverage: GaugeVec["site", "version", "variant", "slice"],
        /// Median time from an image to its first label.
        label_delay_seconds: GaugeVec["site", "version", "variant", "slice"],
        /// Images of the review sample without a label.
        review_sample_unread: GaugeVec["site", "version", "variant", "slice"],
        /// Unix time at which the oldest of them was received.
        review_sample_oldest_timestamp_seconds: GaugeVec["site", "version", "variant", "slice"],
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
