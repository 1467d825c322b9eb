//! Every metric, declared once. Label values come from closed sets, so that no client can grow the registry.

use cxr::RejectReason;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use std::time::Duration;

/// Steps of about 2 from half a millisecond (a small decode) to 16 s (a stalled database before its time-out).
const DURATION_BUCKETS_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// The phases of one prediction, in order.
pub const PHASES: [&str; 6] = ["decode", "preprocess", "queue", "infer", "audit", "total"];

/// Handles to all metrics.
pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_duration: HistogramVec,
    phase_duration: HistogramVec,
    predictions: IntCounterVec,
    rejections: IntCounterVec,
    refusals: IntCounterVec,
    in_flight: IntGauge,
    audit_failures: IntCounter,
    model_info: GaugeVec,
    execution_nodes: IntGaugeVec,
    ready: IntGauge,
}

impl Metrics {
    /// Declares all metrics; `refusal_causes` are the codes that refusals before admission can have.
    ///
    /// # Errors
    /// When a declaration is malformed.
    pub fn new(refusal_causes: &[&str]) -> prometheus::Result<Self> {
        let registry = Registry::new();
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
            phase_duration: histograms(
                &registry,
                "cxr_phase_duration_seconds",
                "Time of one prediction by phase.",
                &["phase"],
            )?,
            predictions: counters(
                &registry,
                "cxr_predictions_total",
                "Predictions answered, by decision.",
                &["decision"],
            )?,
            rejections: counters(
                &registry,
                "cxr_rejections_total",
                "Admitted images refused, by reason; each has its audit row.",
                &["reason"],
            )?,
            refusals: counters(
                &registry,
                "cxr_refusals_total",
                "Requests refused before admission, by cause; these have no audit row.",
                &["cause"],
            )?,
            in_flight: IntGauge::new("cxr_in_flight", "Admitted requests that are not answered yet.")?,
            audit_failures: IntCounter::new(
                "cxr_audit_failures_total",
                "Answers withheld because their audit row could not be committed.",
            )?,
            model_info: GaugeVec::new(
                Opts::new("cxr_model_info", "The model that serves; always 1."),
                &["name", "version", "digest", "variant"],
            )?,
            execution_nodes: IntGaugeVec::new(
                Opts::new("cxr_execution_nodes", "Graph nodes by the execution provider that runs them."),
                &["provider"],
            )?,
            ready: IntGauge::new("cxr_ready", "1 when the last readiness check passed.")?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        metrics.registry.register(Box::new(metrics.audit_failures.clone()))?;
        metrics.registry.register(Box::new(metrics.model_info.clone()))?;
        metrics.registry.register(Box::new(metrics.execution_nodes.clone()))?;
        metrics.registry.register(Box::new(metrics.ready.clone()))?;
        metrics.start_at_zero(refusal_causes);
        Ok(metrics)
    }

    /// A series that appears only with its first event hides that event from `rate()`.
    fn start_at_zero(&self, refusal_causes: &[&str]) {
        for reason in RejectReason::ALL {
            self.rejections.with_label_values(&[reason.code()]);
        }
        for decision in ["positive", "negative"] {
            self.predictions.with_label_values(&[decision]);
        }
        for cause in refusal_causes {
            self.refusals.with_label_values(&[*cause]);
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

    /// One request refused before admission.
    pub fn refused(&self, cause: &str) {
        self.refusals.with_label_values(&[cause]).inc();
    }

    /// One answer withheld.
    pub fn audit_failed(&self) {
        self.audit_failures.inc();
    }

    /// Counts an admitted request until the guard is dropped.
    pub fn admitted(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// The model that serves.
    pub fn serving(&self, name: &str, version: &str, digest: &str, variant: &str) {
        self.model_info.reset();
        self.model_info.with_label_values(&[name, version, digest, variant]).set(1.0);
    }

    /// Where its nodes execute.
    pub fn executing(&self, provider: &str, nodes: usize) {
        self.execution_nodes.with_label_values(&[provider]).set(i64::try_from(nodes).unwrap_or(i64::MAX));
    }

    /// Outcome of the last readiness check.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// The exposition in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn exposition(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// An admitted request; dropped when it ends, however it ends.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS_SECONDS.to_vec());
    let metric = HistogramVec::new(options, labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
