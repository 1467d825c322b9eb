//! Records the results of monitoring.

use super::Metrics;
use super::families::Monitoring;
use super::operations::signed;
use monitoring::snapshot::{
    Alarm, CalibrationReport, DetectorReport, EstimateReport, EstimateStatus, Figure, LabelReport,
    RealisedReport, Snapshot, StreamReport,
};
use monitoring::stream::Stream;
use prometheus::GaugeVec;
use time::OffsetDateTime;

/// Bounds the number of series, whatever the results hold.
const MAX_STREAMS: usize = 64;
/// The same for quantities and reasons of one stream.
const MAX_PER_STREAM: usize = 64;

/// What a replica knows of monitoring.
#[derive(Debug, Clone, Copy)]
pub struct MonitoringResults<'a> {
    pub read_at: OffsetDateTime,
    pub stepped_at: OffsetDateTime,
    pub newest_row_at: Option<OffsetDateTime>,
    pub n_rows_behind: u64,
    /// `None` before the first result.
    pub snapshot: Option<&'a Snapshot>,
    /// Alarms that are not resolved.
    pub alarms: &'a [Alarm],
}

impl Metrics {
    pub fn monitoring_leads(&self, leads: bool) {
        self.monitoring.monitoring_leader.set(i64::from(leads));
    }

    /// Replaces all series of the results: those of a stream that is gone must not stay.
    pub fn monitoring(&self, results: &MonitoringResults<'_>) {
        let m = &self.monitoring;
        vectors(m).into_iter().for_each(GaugeVec::reset);
        m.monitoring_results_read_timestamp_seconds.set(results.read_at.unix_timestamp());
        m.monitoring_step_timestamp_seconds.set(results.stepped_at.unix_timestamp());
        if let Some(at) = results.newest_row_at {
            m.monitoring_last_row_timestamp_seconds.set(at.unix_timestamp());
        }
        m.monitoring_rows_behind.set(signed(results.n_rows_behind));
        for alarm in results.alarms {
            let state = alarm_state(alarm);
            let labels = [&*alarm.detector, alarm.severity.name(), state];
            let series = labels_of(&alarm.stream, &labels);
            m.monitoring_alarms.with_label_values(&series).inc();
        }
        let Some(snapshot) = results.snapshot else { return };
        m.monitoring_streams.set(signed(snapshot.streams.len() as u64));
        m.monitoring_streams_pooled.set(signed(snapshot.n_streams_pooled as u64));
        for report in snapshot.streams.iter().take(MAX_STREAMS) {
            let series = Series { m, stream: &report.stream };
            series.counts(report);
            series.drift(report);
            report.estimate.iter().for_each(|estimate| series.estimate(estimate));
            report.realised.iter().for_each(|realised| series.realised(realised));
            report.calibration.iter().for_each(|calibration| series.calibration(calibration));
            report.labels.iter().for_each(|labels| series.labels(labels));
        }
    }
}

const fn alarm_state(alarm: &Alarm) -> &'static str {
    match (alarm.acknowledged_at, alarm.escalated_at) {
        (Some(_), _) => "acknowledged",
        (None, Some(_)) => "escalated",
        (None, None) => "open",
    }
}

/// The labels of a stream, and further ones.
fn labels_of<'a>(stream: &'a Stream, further: &[&'a str]) -> Vec<&'a str> {
    let (version, variant) = stream.model.as_ref().map_or(("", ""), |model| (&model.version, &model.variant));
    [&[&*stream.site, version, variant, &stream.slice], further].concat()
}

/// The series of one stream.
struct Series<'a> {
    m: &'a Monitoring,
    stream: &'a Stream,
}

impl Series<'_> {
    fn set(&self, metric: &GaugeVec, further: &[&str], value: f64) {
        if value.is_finite() {
            metric.with_label_values(&labels_of(self.stream, further)).set(value);
        }
    }

    fn at(&self, metric: &GaugeVec, at: OffsetDateTime) {
        self.set(metric, &[], at.unix_timestamp() as f64);
    }

    fn figure(&self, metric: &GaugeVec, further: &[&str], figure: &Figure) {
        for (bound, value) in [("value", figure.value), ("low", figure.low), ("high", figure.high)] {
            self.set(metric, &[further, &[bound]].concat(), value);
        }
    }

    fn status(&self, metric: &GaugeVec, status: EstimateStatus) {
        for other in EstimateStatus::ALL {
            self.set(metric, &[other.name()], f64::from(u8::from(other == status)));
        }
    }

    fn counts(&self, report: &StreamReport) {
        let counts = &report.counts;
        let n_rejected = counts.n_rejected.values().sum();
        for (outcome, n) in [
            ("predicted", counts.n_predicted),
            ("rejected", n_rejected),
            ("expired", counts.n_expired),
            ("failed", counts.n_failed),
        ] {
            self.set(&self.m.images, &[outcome], n as f64);
        }
        for (reason, n) in counts.n_rejected.iter().take(MAX_PER_STREAM) {
            self.set(&self.m.images_rejected, &[reason], *n as f64);
        }
        if let Some(baseline) = &report.baseline {
            self.at(&self.m.baseline_approved_timestamp_seconds, baseline.approved_at);
        }
    }

    fn drift(&self, report: &StreamReport) {
        let m = self.m;
        for group in &report.drift {
            let name = &[group.group.name()];
            self.set(&m.drift_evidence, name, group.evidence);
            self.set(&m.drift_threshold, name, group.threshold);
            self.set(&m.drift_armed, name, f64::from(u8::from(group.armed)));
            self.set(&m.drift_alarm, name, f64::from(u8::from(group.in_alarm)));
        }
        if report.stream.slice == Stream::ALL {
            for quantity in report.quantities.iter().take(MAX_PER_STREAM) {
                self.set(&m.drift_shift, &[&quantity.quantity], quantity.shift);
            }
        }
        if let Some(ood) = &report.ood {
            self.figure(&m.ood_share, &[], &ood.share);
            self.set(&m.ood_baseline_share, &[], ood.baseline_share);
        }
        if let Some(prevalence) = &report.prevalence {
            self.figure(&m.prevalence, &[], &prevalence.estimate);
            self.set(&m.prevalence_baseline, &[], prevalence.baseline);
            self.detector(&DetectorReport {
                detector: "prevalence".into(),
                evidence: prevalence.evidence,
                threshold: prevalence.threshold,
                armed: prevalence.armed,
                in_alarm: prevalence.in_alarm,
                n: prevalence.estimate.n,
            });
        }
    }

    fn detector(&self, report: &DetectorReport) {
        let (m, name) = (self.m, &[&*report.detector]);
        self.set(&m.detector_evidence, name, report.evidence);
        self.set(&m.detector_threshold, name, report.threshold);
        self.set(&m.detector_armed, name, f64::from(u8::from(report.armed)));
        self.set(&m.detector_alarm, name, f64::from(u8::from(report.in_alarm)));
    }

    fn estimate(&self, report: &EstimateReport) {
        self.status(&self.m.estimate_status, report.status);
        for (name, figure) in &report.figures {
            self.figure(&self.m.estimated_performance, &[name], figure);
        }
        for (name, bound) in &report.worst_case {
            self.set(&self.m.estimated_worst_case, &[name], *bound);
        }
    }

    fn realised(&self, report: &RealisedReport) {
        self.status(&self.m.realised_status, report.status);
        for (name, figure) in &report.figures {
            self.figure(&self.m.realised_performance, &[name], figure);
        }
        for (name, limit) in &report.limits {
            self.set(&self.m.performance_limit, &[name], *limit);
        }
        report.detectors.iter().for_each(|detector| self.detector(detector));
    }

    fn calibration(&self, report: &CalibrationReport) {
        self.status(&self.m.calibration_status, report.status);
        report.ece.iter().for_each(|ece| self.figure(&self.m.calibration_error, &[], ece));
        report.bias.iter().for_each(|bias| self.figure(&self.m.calibration_bias, &[], bias));
        report.detector.iter().for_each(|detector| self.detector(detector));
    }

    fn labels(&self, report: &LabelReport) {
        let m = self.m;
        self.set(&m.labelled_images, &["positive"], report.n_positive as f64);
        self.set(&m.labelled_images, &["negative"], report.n_negative as f64);
        self.set(&m.label_coverage, &[], report.coverage);
        report.median_delay_s.iter().for_each(|delay_s| self.set(&m.label_delay_seconds, &[], *delay_s));
        self.set(&m.review_sample_unread, &[], report.n_unread as f64);
        if let Some(oldest) = report.oldest_unread_at {
            self.at(&m.review_sample_oldest_timestamp_seconds, oldest);
        }
    }
}

/// Every metric with a series for each stream.
const fn vectors(m: &Monitoring) -> [&GaugeVec; 31] {
    [
        &m.monitoring_alarms,
        &m.baseline_approved_timestamp_seconds,
        &m.images,
        &m.images_rejected,
        &m.drift_evidence,
        &m.drift_threshold,
        &m.drift_armed,
        &m.drift_alarm,
        &m.detector_evidence,
        &m.detector_threshold,
        &m.detector_armed,
        &m.detector_alarm,
        &m.drift_shift,
        &m.ood_share,
        &m.ood_baseline_share,
        &m.prevalence,
        &m.prevalence_baseline,
        &m.estimate_status,
        &m.estimated_performance,
        &m.estimated_worst_case,
        &m.realised_status,
        &m.realised_performance,
        &m.performance_limit,
        &m.calibration_status,
        &m.calibration_error,
        &m.calibration_bias,
        &m.labelled_images,
        &m.label_coverage,
        &m.label_delay_seconds,
        &m.review_sample_unread,
        &m.review_sample_oldest_timestamp_seconds,
    ]
}
