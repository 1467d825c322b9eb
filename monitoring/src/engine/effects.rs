//! What the engine did, for the database.

use super::StreamId;
use super::windows::Closed;
use crate::snapshot::Severity;
use crate::stream::Stream;
use std::collections::BTreeSet;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug, Default)]
pub struct Effects {
    pub new_streams: Vec<(StreamId, Stream)>,
    /// Streams whose state differs from the stored one.
    pub changed: BTreeSet<StreamId>,
    pub closed: Vec<(StreamId, Closed)>,
    pub alarms: Vec<AlarmOpened>,
    pub samples: Vec<SampleDrawn>,
    pub newest_row_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AlarmOpened {
    /// Made of stream, detector, baseline and leaf.
    pub id: Uuid,
    pub stream: StreamId,
    pub detector: &'static str,
    pub severity: Severity,
    /// When the image that raised it was received.
    pub at: OffsetDateTime,
    /// Its leaf; for detectors of labels the position of the label.
    pub leaf: u64,
    pub change_at: Option<OffsetDateTime>,
    pub evidence: f64,
    pub threshold: f64,
    pub baseline: Option<Uuid>,
    pub quantities: Vec<(String, f64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SampleDrawn {
    pub prediction_id: Uuid,
    pub stream: StreamId,
    pub leaf_index: u64,
    pub received_at: OffsetDateTime,
    pub stratum: &'static str,
    pub inclusion_probability: f64,
}
