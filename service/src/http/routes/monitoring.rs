//! `GET /v1/monitoring/...`: the newest results of monitoring, the same on every replica.

pub(super) mod alarms;
mod shown;

use crate::http::Shared;
use crate::http::error::ApiError;
use crate::http::extract::query;
use crate::results::Reading;
use axum::Json;
use axum::extract::{RawQuery, State};
use monitoring::snapshot::{Snapshot, StreamReport};
use monitoring::stream::Stream;
use serde::{Deserialize, Serialize};
use shown::{
    AlarmInfo, Baseline, Calibration, Counts, Estimate, GroupEvidence, LabelState, Moment, OutOfDistribution,
    Prevalence, QuantityEvidence, Realised, Shown, StreamName,
};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

/// A leader commits a step every few seconds, and a replica reads the results every 15 s.
const STALE: Duration = Duration::minutes(5);

/// Filters; a stream must match all of them.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Site, as in audit rows.
    site: Option<String>,
    /// Version of the bundle. Streams without a model do not match.
    version: Option<String>,
    /// Variant of the bundle. Streams without a model do not match.
    variant: Option<String>,
    /// `all`, or a property and its value, such as `view:PA`.
    slice: Option<String>,
}

const TAKES: query::Takes = &[
    ("site", "a site"),
    ("version", "a version"),
    ("variant", "a variant"),
    ("slice", "a slice, such as all or view:PA"),
];

impl StreamQuery {
    fn matches(&self, stream: &Stream) -> bool {
        let model = stream.model.as_ref();
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.site, Some(&stream.site))
            && is(&self.slice, Some(&stream.slice))
            && is(&self.version, model.map(|model| &*model.version))
            && is(&self.variant, model.map(|model| &*model.variant))
    }
}

/// How recent the results are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Freshness {
    /// `current`; `stale` (the results are older than 5 minutes); or `none` (there are none yet).
    status: &'static str,
    /// Why the status is not `current`.
    reason: Option<String>,
    /// When the results were computed.
    computed_at: Option<Moment>,
    /// When monitoring last committed a step.
    stepped_at: Option<Moment>,
    /// When the newest row behind the results was received.
    newest_row_at: Option<Moment>,
    /// Rows of the audit log that monitoring has not read yet.
    n_rows_behind: Option<u64>,
}

impl Freshness {
    fn of(reading: Option<&Reading>, now: OffsetDateTime) -> Self {
        let Some(reading) = reading else {
            let reason = "this replica has not read the results yet; retry in a few seconds".to_owned();
            return Self {
                status: "none",
                reason: Some(reason),
                computed_at: None,
                stepped_at: None,
                newest_row_at: None,
                n_rows_behind: None,
            };
        };
        let computed_at = reading.result.as_ref().map(|(at, _)| *at);
        let (status, reason) = if computed_at.is_none() {
            ("none", Some("monitoring has not computed a result yet"))
        } else if now - reading.read_at > STALE {
            ("stale", Some("this replica cannot read the results: the database does not answer"))
        } else if now - reading.stepped_at > STALE {
            ("stale", Some("monitoring has not committed a step for 5 minutes"))
        } else {
            ("current", None)
        };
        Self {
            status,
            reason: reason.map(ToOwned::to_owned),
            computed_at: computed_at.shown(),
            stepped_at: Some(Moment(reading.stepped_at)),
            newest_row_at: reading.newest_row_at.shown(),
            n_rows_behind: Some(reading.n_rows_behind),
        }
    }
}

/// Results by stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamResults<T> {
    /// How recent the results are.
    freshness: Freshness,
    /// The streams that match.
    streams: Vec<T>,
    /// Streams beyond the limit, whose images count only in the slice of all images.
    n_streams_pooled: usize,
}

/// One stream at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamOverview {
    stream: StreamName,
    counts: Counts,
    /// Null if no operator has approved one: drift then raises no alarms.
    baseline: Option<Baseline>,
    /// Groups of quantities in alarm.
    drift_in_alarm: Vec<&'static str>,
    /// Status of the estimate without labels; null for a stream without a model, like the next two.
    estimate_status: Option<&'static str>,
    /// Status of the performance by labels.
    realised_status: Option<&'static str>,
    /// Status of the calibration.
    calibration_status: Option<&'static str>,
    labels: Option<LabelState>,
    /// Alarms that are not resolved.
    n_alarms: usize,
}

/// Drift of one stream against its baseline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamDrift {
    stream: StreamName,
    baseline: Option<Baseline>,
    groups: Vec<GroupEvidence>,
    quantities: Vec<QuantityEvidence>,
    ood: Option<OutOfDistribution>,
    prevalence: Option<Prevalence>,
}

/// Calibration of one stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamCalibration {
    stream: StreamName,
    calibration: Option<Calibration>,
}

/// Performance of one stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamPerformance {
    stream: StreamName,
    estimate: Option<Estimate>,
    realised: Option<Realised>,
    labels: Option<LabelState>,
}

/// Alarms that are not resolved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAlarms {
    /// How recent the results are.
    freshness: Freshness,
    /// The alarms of the streams that match, the oldest first.
    alarms: Vec<AlarmInfo>,
}

/// What of the newest reading matches a query.
struct Matching {
    reading: Option<Arc<Reading>>,
    query: StreamQuery,
}

impl Matching {
    fn read(api: &Shared, query: Option<&str>) -> Result<Self, ApiError> {
        Ok(Self { query: query::read(query, TAKES)?, reading: api.results.newest() })
    }

    fn freshness(&self) -> Freshness {
        Freshness::of(self.reading.as_deref(), OffsetDateTime::now_utc())
    }

    fn snapshot(&self) -> Option<&Snapshot> {
        self.reading.as_ref()?.result.as_ref().map(|(_, snapshot)| &**snapshot)
    }

    fn streams<T>(&self, show: impl Fn(&StreamReport) -> T) -> Json<StreamResults<T>> {
        let reports = self.snapshot().into_iter().flat_map(|snapshot| &snapshot.streams);
        Json(StreamResults {
            freshness: self.freshness(),
            streams: reports.filter(|report| self.query.matches(&report.stream)).map(show).collect(),
            n_streams_pooled: self.snapshot().map_or(0, |snapshot| snapshot.n_streams_pooled),
        })
    }

    fn alarms(&self) -> impl Iterator<Item = &monitoring::snapshot::Alarm> {
        let alarms = self.reading.iter().flat_map(|reading| &reading.alarms);
        alarms.filter(|alarm| self.query.matches(&alarm.stream))
    }
}

/// Every monitored stream at a glance.
#[utoipa::path(
    get,
    path = "/v1/monitoring/overview",
    operation_id = "getMonitoringOverview",
    tag = "monitoring",
    params(StreamQuery),
    security(("bearer" = ["monitor:read"])),
    responses(
        (status = 200, description = "The streams; empty before the first result", body = StreamResults<StreamOverview>),
        (status = 400, description = "Malformed query"),
    )
)]
pub(crate) async fn overview(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<StreamResults<StreamOverview>>, ApiError> {
    let matching = Matching::read(&api, query.as_deref())?;
    Ok(matching.streams(|report| StreamOverview {
        stream: report.stream.shown(),
        counts: report.counts.shown(),
        baseline: report.baseline.shown(),
        drift_in_alarm: report
            .drift
            .iter()
            .filter(|group| group.in_alarm)
            .map(|group| group.group.name())
            .collect(),
        estimate_status: report.estimate.as_ref().map(|estimate| estimate.status.name()),
        realised_status: report.realised.as_ref().map(|realised| realised.status.name()),
        calibration_status: report.calibration.as_ref().map(|calibration| calibration.status.name()),
        labels: report.labels.shown(),
        n_alarms: matching.alarms().filter(|alarm| alarm.stream == report.stream).count(),
    }))
}

/// Drift against the approved baseline.
#[utoipa::path(
    get,
    path = "/v1/monitoring/drift",
    operation_id = "getDrift",
    tag = "monitoring",
    params(StreamQuery),
    security(("bearer" = ["monitor:read"])),
    responses(
        (status = 200, description = "Evidence by group and quantity; empty before the first result", body = StreamResults<StreamDrift>),
        (status = 400, description = "Malformed query"),
    )
)]
pub(crate) async fn drift(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<StreamResults<StreamDrift>>, ApiError> {
    Ok(Matching::read(&api, query.as_deref())?.streams(|report| StreamDrift {
        stream: report.stream.shown(),
        baseline: report.baseline.shown(),
        groups: report.drift.shown(),
        quantities: report.quantities.shown(),
        ood: report.ood.shown(),
        prevalence: report.prevalence.shown(),
    }))
}

/// Calibration by labels.
#[utoipa::path(
    get,
    path = "/v1/monitoring/calibration",
    operation_id = "getCalibration",
    tag = "monitoring",
    params(StreamQuery),
    security(("bearer" = ["monitor:read"])),
    responses(
        (status = 200, description = "Calibration by stream; empty before the first result", body = StreamResults<StreamCalibration>),
        (status = 400, description = "Malformed query"),
    )
)]
pub(crate) async fn calibration(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<StreamResults<StreamCalibration>>, ApiError> {
    Ok(Matching::read(&api, query.as_deref())?.streams(|report| StreamCalibration {
        stream: report.stream.shown(),
        calibration: report.calibration.shown(),
    }))
}

/// Performance, estimated without labels and realised by labels.
#[utoipa::path(
    get,
    path = "/v1/monitoring/performance",
    operation_id = "getPerformance",
    tag = "monitoring",
    params(StreamQuery),
    security(("bearer" = ["monitor:read"])),
    responses(
        (status = 200, description = "Performance by stream; empty before the first result", body = StreamResults<StreamPerformance>),
        (status = 400, description = "Malformed query"),
    )
)]
pub(crate) async fn performance(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<StreamResults<StreamPerformance>>, ApiError> {
    Ok(Matching::read(&api, query.as_deref())?.streams(|report| StreamPerformance {
        stream: report.stream.shown(),
        estimate: report.estimate.shown(),
        realised: report.realised.shown(),
        labels: report.labels.shown(),
    }))
}

/// Alarms that are not resolved.
#[utoipa::path(
    get,
    path = "/v1/monitoring/alarms",
    operation_id = "getAlarms",
    tag = "monitoring",
    params(StreamQuery),
    security(("bearer" = ["monitor:read"])),
    responses(
        (status = 200, description = "The alarms; empty before the first result", body = OpenAlarms),
        (status = 400, description = "Malformed query"),
    )
)]
pub(crate) async fn alarms(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<OpenAlarms>, ApiError> {
    let matching = Matching::read(&api, query.as_deref())?;
    let alarms = matching.alarms().map(Shown::shown).collect();
    Ok(Json(OpenAlarms { freshness: matching.freshness(), alarms }))
}
