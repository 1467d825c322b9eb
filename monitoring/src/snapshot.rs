//! The snapshot: every figure of monitoring at one moment. The leader writes it, and every replica exports
//! the same gauges and serves the same answers from it.

use crate::quantity::Group;
use crate::stream::Stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Leaves before this one were read.
    pub next_leaf: u64,
    /// When the newest of them was received.
    #[serde(with = "time::serde::rfc3339::option")]
    pub newest_row_at: Option<OffsetDateTime>,
    pub streams: Vec<StreamReport>,
    /// Streams beyond the limit, whose images only count in the slice of all images.
    pub n_streams_pooled: usize,
    /// Alarms that are not resolved.
    pub alarms: Vec<Alarm>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    pub stream: Stream,
    pub counts: Counts,
    /// The approved baseline.
    pub baseline: Option<BaselineReport>,
    pub drift: Vec<GroupReport>,
    pub quantities: Vec<QuantityReport>,
    pub ood: Option<OodReport>,
    pub prevalence: Option<PrevalenceReport>,
    pub estimate: Option<EstimateReport>,
    pub realised: Option<RealisedReport>,
    pub calibration: Option<CalibrationReport>,
    pub labels: Option<LabelReport>,
}

/// Images since the first leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub n_predicted: u64,
    pub n_positive: u64,
    pub n_referred: u64,
    pub n_expired: u64,
    pub n_failed: u64,
    /// By reason.
    pub n_rejected: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineReport {
    pub id: Uuid,
    /// SHA-256 of the frozen baseline, in hexadecimal.
    pub digest: String,
    pub n_images: u64,
    pub n_weeks: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub approved_at: OffsetDateTime,
}

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Images behind it.
    pub n: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Page,
    Ticket,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// The evidence of one group of quantities, or of one other detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    pub group: Group,
    /// Shiryaev-Roberts statistic. It raises an alarm at `threshold`.
    pub evidence: f64,
    /// The expected number of images between two false alarms, from the budget.
    pub threshold: f64,
    /// Whether the simulation showed that the detector keeps its budget.
    pub armed: bool,
    pub in_alarm: bool,
    pub n: u64,
    /// Estimated begin of the change.
    #[serde(with = "time::serde::rfc3339::option")]
    pub change_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantityReport {
    pub quantity: String,
    pub group: Group,
    pub evidence: f64,
    /// Mean of 2 p - 1 over the last images, with p the rank in the baseline: 0 without drift, 1 if every
    /// image lies above the baseline, -1 below.
    pub shift: f64,
    pub n: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OodReport {
    /// Share of the last images above the baseline's 99th percentile of `ood_score`.
    pub share: Figure,
    /// The same share in the baseline.
    pub baseline_share: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrevalenceReport {
    /// Estimated share of positives, by expectation maximisation over the last images.
    pub estimate: Figure,
    pub baseline: f64,
    pub evidence: f64,
    pub threshold: f64,
    pub armed: bool,
    pub in_alarm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EstimateStatus {
    Ok,
    /// Fewer images than the gate asks for.
    Insufficient,
    /// The conditions under which the estimate holds are not met.
    Withheld,
}

impl EstimateStatus {
    pub const ALL: [Self; 3] = [Self::Ok, Self::Insufficient, Self::Withheld];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Insufficient => "insufficient",
            Self::Withheld => "withheld",
        }
    }
}

/// Performance estimated without labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimateReport {
    pub status: EstimateStatus,
    /// Why there is no estimate.
    pub reason: Option<String>,
    /// `cbpe`; with enough local labels `cbpe_recalibrated`, with more `cbpe_reweighted`.
    pub method: String,
    /// By name: `sensitivity`, `specificity`, `accuracy`, `ppv`, `npv`. Empty unless the status is `ok`.
    pub figures: BTreeMap<String, Figure>,
    /// Bounds that hold if every image out of distribution was answered wrongly; while withheld.
    pub worst_case: BTreeMap<String, f64>,
    pub n: u64,
}

/// Performance by labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RealisedReport {
    pub status: EstimateStatus,
    pub reason: Option<String>,
    /// By name: `sensitivity`, `specificity`, `accuracy`, `auc`; weighted by the inverse inclusion
    /// probability.
    pub figures: BTreeMap<String, Figure>,
    /// The same without weights; biased where labels are selective.
    pub unweighted: BTreeMap<String, Figure>,
    /// With the latest label of each image instead of the first, whenever it was recorded.
    #[serde(default)]
    pub revised: BTreeMap<String, Figure>,
    /// Images whose latest label contradicts the first.
    #[serde(default)]
    pub n_corrected: u64,
    /// Contractual limits by name.
    pub limits: BTreeMap<String, f64>,
    /// Evidence of the detectors `misses` and `false_positives`.
    pub detectors: Vec<DetectorReport>,
    pub n_positive: u64,
    pub n_negative: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorReport {
    /// `misses`, `false_positives`, `calibration` or `prevalence`.
    pub detector: String,
    pub evidence: f64,
    pub threshold: f64,
    pub armed: bool,
    pub in_alarm: bool,
    pub n: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    pub status: EstimateStatus,
    pub reason: Option<String>,
    /// Expected calibration error, l2 norm, with an interval that covers.
    pub ece: Option<Figure>,
    pub brier: Option<Figure>,
    /// Mean of label minus probability.
    pub bias: Option<Figure>,
    pub detector: Option<DetectorReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelReport {
    /// Images with a label, by class, in the cohort.
    pub n_positive: u64,
    pub n_negative: u64,
    /// Share of the cohort's images with a label.
    pub coverage: f64,
    /// Median time from the image to its first label, in seconds.
    pub median_delay_s: Option<f64>,
    /// Drawn images of the review sample without a label.
    pub n_unread: u64,
    /// When the oldest of them was received.
    #[serde(with = "time::serde::rfc3339::option")]
    pub oldest_unread_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    pub id: Uuid,
    pub stream: Stream,
    /// Name of a group or of another detector.
    pub detector: String,
    pub severity: Severity,
    /// When the image that raised the alarm was received.
    #[serde(with = "time::serde::rfc3339")]
    pub opened_at: OffsetDateTime,
    pub opened_leaf: u64,
    /// Estimated begin of the change.
    #[serde(with = "time::serde::rfc3339::option")]
    pub change_at: Option<OffsetDateTime>,
    pub evidence: f64,
    pub threshold: f64,
    /// The quantities that moved most, with their shift.
    pub quantities: Vec<(String, f64)>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub acknowledged_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub escalated_at: Option<OffsetDateTime>,
}
