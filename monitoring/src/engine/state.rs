//! The state of one stream: open windows, counts, and the detectors against its approved baseline.

use super::StreamId;
use super::counts;
use super::effects::{AlarmOpened, Effects};
use super::labels::{CALIBRATION, LabelDetectors, read_section, section};
use super::settings::Settings;
use super::windows::{OpenWindows, Span};
use crate::baseline::{Baseline, Detector};
use crate::codec::{DecodeError, Reader, Writer};
use crate::drift::{DriftDetector, Opened};
use crate::observation::{LabelledObservation, Observation};
use crate::prevalence::PrevalenceDetector;
use crate::quantity::Group;
use crate::snapshot::{Counts, DetectorReport, Severity};
use crate::stream::Stream;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

const VERSION: u64 = 1;
/// Streams beyond the limit that are told apart.
const MAX_POOLED: usize = 10_000;
/// Groups whose drift harms while many images are out of distribution.
const HARMFUL: [Group; 3] = [Group::Score, Group::Ood, Group::Embedding];
/// The estimate is withheld above this multiple of the baseline's share out of distribution.
const WITHHELD_ABOVE: f64 = 3.0;

#[derive(Debug)]
pub struct StreamState {
    stream: Stream,
    windows: OpenWindows,
    /// Sum of the closed hours.
    closed: Counts,
    armed: Option<Armed>,
    /// Alarms whose detector has not started anew, by detector.
    alarms: BTreeMap<String, Uuid>,
    /// Hashes of the streams beyond the limit; only in the first stream.
    pooled: BTreeSet<u64>,
}

/// The detectors against an approved baseline.
#[derive(Debug)]
struct Armed {
    baseline_id: Uuid,
    baseline: Arc<Baseline>,
    drift: DriftDetector,
    prevalence: Option<PrevalenceDetector>,
    labels: LabelDetectors,
}

impl Armed {
    fn new(baseline_id: Uuid, baseline: Arc<Baseline>, settings: &Settings) -> Self {
        let has_model = baseline.stream.model.is_some();
        let labels =
            if has_model { LabelDetectors::new(&baseline, settings) } else { LabelDetectors::default() };
        Self {
            baseline_id,
            drift: DriftDetector::new(Arc::clone(&baseline)),
            prevalence: PrevalenceDetector::new(Arc::clone(&baseline)),
            labels,
            baseline,
        }
    }
}

impl StreamState {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            windows: OpenWindows::default(),
            closed: Counts::default(),
            armed: None,
            alarms: BTreeMap::new(),
            pooled: BTreeSet::new(),
        }
    }

    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Images since the first leaf.
    pub fn counts(&self) -> Counts {
        let mut sum = self.closed.clone();
        self.windows.hours().for_each(|hour| counts::add(&mut sum, hour.counts()));
        sum
    }

    /// Images in windows from `from` on that are in no closed day.
    pub fn open_counts(&self, from: OffsetDateTime) -> Counts {
        let mut sum = Counts::default();
        self.windows.since(from.unix_timestamp()).for_each(|window| counts::add(&mut sum, window.counts()));
        sum
    }

    pub fn baseline(&self) -> Option<(Uuid, &Arc<Baseline>)> {
        self.armed.as_ref().map(|armed| (armed.baseline_id, &armed.baseline))
    }

    pub fn drift(&self) -> Option<&DriftDetector> {
        self.armed.as_ref().map(|armed| &armed.drift)
    }

    pub fn prevalence(&self) -> Option<&PrevalenceDetector> {
        self.armed.as_ref().and_then(|armed| armed.prevalence.as_ref())
    }

    /// Misses, false positives and calibration.
    pub fn label_detectors(&self) -> Vec<DetectorReport> {
        self.armed.as_ref().map(|armed| armed.labels.reports()).unwrap_or_default()
    }

    pub(super) fn n_pooled(&self) -> usize {
        self.pooled.len()
    }

    /// Notes a stream beyond the limit; returns whether it is a new one.
    pub(super) fn pool(&mut self, stream: &Stream) -> bool {
        self.pooled.len() < MAX_POOLED && self.pooled.insert(hash(&[&name(stream)]))
    }

    pub(super) fn next_close(&self) -> i64 {
        self.windows.next_close().unwrap_or(i64::MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        self.windows.is_full()
    }

    /// Closes windows; returns whether there were any.
    pub(super) fn close(&mut self, id: StreamId, now: i64, effects: &mut Effects) -> bool {
        let closed = self.windows.close(now);
        for window in &closed {
            if window.span == Span::Hour {
                counts::add(&mut self.closed, window.content.window.counts());
            }
        }
        let any = !closed.is_empty();
        effects.closed.extend(closed.into_iter().map(|window| (id, window)));
        any
    }

    pub(super) fn observe(&mut self, id: StreamId, observation: &Observation, effects: &mut Effects) {
        self.windows.add(observation);
        let Some(armed) = &mut self.armed else { return };
        let mut opened = armed.drift.observe(observation);
        opened.extend(armed.prevalence.as_mut().and_then(|prevalence| prevalence.observe(observation)));
        for alarm in opened {
            let severity = severity(&alarm, armed);
            let detector = alarm.detector.name();
            let alarm = AlarmOpened {
                id: alarm_id(&self.stream, detector, &armed.baseline_id, alarm.leaf),
                stream: id,
                detector,
                severity,
                at: alarm.at,
                leaf: alarm.leaf,
                change_at: alarm.change_at,
                evidence: alarm.evidence,
                threshold: alarm.threshold,
                baseline: Some(armed.baseline_id),
                quantities: alarm.quantities,
            };
            self.alarms.insert(detector.to_owned(), alarm.id);
            effects.alarms.push(alarm);
        }
    }

    /// Feeds a label; returns whether there is a detector for it.
    pub(super) fn label(
        &mut self,
        id: StreamId,
        label: &LabelledObservation,
        settings: &Settings,
        effects: &mut Effects,
    ) -> bool {
        let Some(armed) = &mut self.armed else { return false };
        for detector in armed.labels.observe(label, settings) {
            let report = armed.labels.reports().into_iter().find(|report| report.detector == detector);
            let Some(report) = report else { continue };
            let alarm = AlarmOpened {
                id: alarm_id(&self.stream, detector, &armed.baseline_id, label.position),
                stream: id,
                detector,
                severity: if detector == CALIBRATION { Severity::Ticket } else { Severity::Page },
                at: label.received_at,
                leaf: label.position,
                change_at: None,
                evidence: report.evidence,
                threshold: report.threshold,
                baseline: Some(armed.baseline_id),
                quantities: Vec::new(),
            };
            self.alarms.insert(detector.to_owned(), alarm.id);
            effects.alarms.push(alarm);
        }
        true
    }

    pub(super) fn approve(&mut self, baseline_id: Uuid, baseline: Arc<Baseline>, settings: &Settings) {
        if baseline.stream == self.stream {
            self.alarms.clear();
            self.armed = Some(Armed::new(baseline_id, baseline, settings));
        }
    }

    pub(super) fn resolve(&mut self, alarm: Uuid, settings: &Settings) {
        let detector = self.alarms.iter().find(|(_, id)| **id == alarm).map(|(detector, _)| detector.clone());
        let (Some(detector), Some(armed)) = (detector, &mut self.armed) else { return };
        self.alarms.remove(&detector);
        match Detector::ALL.into_iter().find(|known| known.name() == detector) {
            Some(Detector::Group(group)) => armed.drift.restart(group),
            Some(Detector::Prevalence) => {
                armed.prevalence = PrevalenceDetector::new(Arc::clone(&armed.baseline));
            }
            None => armed.labels.restart(&detector, &armed.baseline, settings),
        }
    }

    pub(super) fn configure(&mut self, settings: &Settings) {
        if let Some(armed) = self.armed.as_mut().filter(|armed| armed.baseline.stream.model.is_some()) {
            armed.labels = LabelDetectors::new(&armed.baseline, settings);
            self.alarms.retain(|detector, _| Detector::ALL.iter().any(|known| known.name() == detector));
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.n(VERSION);
        self.windows.encode(&mut writer);
        counts::encode(&self.closed, &mut writer);
        writer.n(self.pooled.len() as u64);
        self.pooled.iter().for_each(|hash| writer.n(*hash));
        writer.n(self.alarms.len() as u64);
        for (detector, alarm) in &self.alarms {
            writer.text(detector);
            writer.bytes(alarm.as_bytes());
        }
        writer.flag(self.armed.is_some());
        if let Some(armed) = &self.armed {
            writer.bytes(armed.baseline_id.as_bytes());
            section(&mut writer, Some(armed.drift.encode()));
            section(&mut writer, armed.prevalence.as_ref().map(PrevalenceDetector::encode));
            armed.labels.encode(&mut writer);
        }
        writer.finish()
    }

    pub(super) fn decode(
        stream: Stream,
        bytes: &[u8],
        settings: &Settings,
        baselines: &BTreeMap<Uuid, Arc<Baseline>>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "the state of a stream", VERSION)?;
        let windows = OpenWindows::decode(&mut reader)?;
        let closed = counts::decode(&mut reader)?;
        let mut pooled = BTreeSet::new();
        for _ in 0..reader.n(MAX_POOLED as u64, "the number of pooled streams")? {
            pooled.insert(reader.n(u64::MAX, "a hash")?);
        }
        let mut alarms = BTreeMap::new();
        for _ in 0..reader.n(64, "the number of alarms")? {
            let detector = reader.text("a detector")?.to_string();
            alarms.insert(detector, uuid(&mut reader)?);
        }
        let armed =
            if reader.flag("a flag")? { Some(armed(&mut reader, settings, baselines)?) } else { None };
        reader.at_end()?;
        Ok(Self { stream, windows, closed, armed, alarms, pooled })
    }
}

fn armed(
    reader: &mut Reader<'_>,
    settings: &Settings,
    baselines: &BTreeMap<Uuid, Arc<Baseline>>,
) -> Result<Armed, DecodeError> {
    let baseline_id = uuid(reader)?;
    let baseline = baselines.get(&baseline_id).ok_or_else(|| reader.range("the baseline"))?;
    let drift = read_section(reader)?.ok_or_else(|| reader.range("the state of drift"))?;
    let drift = DriftDetector::decode(Arc::clone(baseline), drift)?;
    let prevalence = match read_section(reader)? {
        Some(bytes) => PrevalenceDetector::decode(Arc::clone(baseline), bytes)?,
        None => None,
    };
    let labels = LabelDetectors::decode(reader, baseline, settings)?;
    Ok(Armed { baseline_id, baseline: Arc::clone(baseline), drift, prevalence, labels })
}

fn uuid(reader: &mut Reader<'_>) -> Result<Uuid, DecodeError> {
    Ok(Uuid::from_slice(reader.bytes(16)?).unwrap_or_default())
}

fn severity(alarm: &Opened, armed: &Armed) -> Severity {
    let harms = HARMFUL.iter().any(|group| alarm.detector == Detector::Group(*group));
    let many_out =
        armed.drift.ood_report().is_some_and(|ood| ood.share.value > WITHHELD_ABOVE * ood.baseline_share);
    if harms && many_out { Severity::Page } else { Severity::Ticket }
}

fn name(stream: &Stream) -> String {
    let model = stream.model.as_ref().map(|model| (&model.digest, &model.variant));
    format!("{:?}", (&stream.site, &stream.slice, model))
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn hash(parts: &[&str]) -> u64 {
    digest(parts)[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn alarm_id(stream: &Stream, detector: &str, baseline: &Uuid, leaf: u64) -> Uuid {
    let digest = digest(&[&name(stream), detector, &baseline.to_string(), &leaf.to_string()]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
