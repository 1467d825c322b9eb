//! The detectors of one model's stream that labels feed: misses, false positives and calibration.

use super::settings::Settings;
use crate::baseline::Baseline;
use crate::calibration::CalibrationDetector;
use crate::codec::{DecodeError, Reader, Writer};
use crate::evidence::Evidence;
use crate::misses::{Error, Promise, RateDetector};
use crate::observation::LabelledObservation;
use crate::snapshot::DetectorReport;
use std::collections::BTreeMap;

pub(super) const CALIBRATION: &str = CalibrationDetector::NAME;

/// Calibration has this share of the tickets; drift and prevalence share the rest.
const CALIBRATION_SHARE: f64 = 0.1;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct LabelDetectors {
    rates: BTreeMap<&'static str, RateDetector>,
    calibration: Option<CalibrationDetector>,
}

/// What a rate detector is held to; none without a contractual limit.
fn promise(error: Error, baseline: &Baseline, settings: &Settings) -> Option<Promise> {
    let promised = match error {
        Error::Miss => settings.sensitivity,
        Error::FalsePositive => settings.specificity,
    };
    let limit = 1.0 - promised?;
    let prevalence = baseline.prevalence.map_or(0.5, |share| share.mean);
    let of_class = if error == Error::Miss { prevalence } else { 1.0 - prevalence };
    // Without a draw only images in review count, each for itself.
    let drawn = !settings.labels_complete && settings.sample_rate > 0.0;
    Some(Promise {
        accepted: limit / 2.0,
        limit,
        threshold: (baseline.used_per_year * of_class * 2.0 / settings.pages_per_year).max(1.0),
        max_weight: if drawn { settings.plan().max_weight() } else { 1.0 },
    })
}

fn calibration_threshold(baseline: &Baseline, settings: &Settings) -> f64 {
    (baseline.used_per_year / (settings.tickets_per_year * CALIBRATION_SHARE)).max(1.0)
}

const RATES: [Error; 2] = [Error::Miss, Error::FalsePositive];

impl LabelDetectors {
    pub(super) fn new(baseline: &Baseline, settings: &Settings) -> Self {
        let rate = |error: Error| {
            promise(error, baseline, settings)
                .map(|promise| (error.name(), RateDetector::new(error, &promise)))
        };
        Self {
            rates: RATES.into_iter().filter_map(rate).collect(),
            calibration: Some(CalibrationDetector::new(calibration_threshold(baseline, settings))),
        }
    }

    /// Feeds a label; names the detectors that it put in alarm.
    pub(super) fn observe(&mut self, label: &LabelledObservation, settings: &Settings) -> Vec<&'static str> {
        let mut raised = Vec::new();
        for (name, detector) in &mut self.rates {
            let was = detector.evidence().is_in_alarm();
            detector.observe(label, settings.labels_complete);
            raised.extend((!was && detector.evidence().is_in_alarm()).then_some(*name));
        }
        if let Some(detector) = &mut self.calibration {
            let was = detector.evidence().is_in_alarm();
            detector.observe(label, settings.labels_complete);
            raised.extend((!was && detector.evidence().is_in_alarm()).then_some(CALIBRATION));
        }
        raised
    }

    pub(super) fn restart(&mut self, name: &str, baseline: &Baseline, settings: &Settings) {
        let fresh = Self::new(baseline, settings);
        if name == CALIBRATION {
            self.calibration = fresh.calibration;
        } else if let Some((name, detector)) = fresh.rates.into_iter().find(|(known, _)| *known == name) {
            self.rates.insert(name, detector);
        }
    }

    pub(super) fn reports(&self) -> Vec<DetectorReport> {
        let rates = self.rates.iter().map(|(name, detector)| report(name, detector.evidence()));
        let calibration = self.calibration.iter();
        rates.chain(calibration.map(|detector| report(CALIBRATION, detector.evidence()))).collect()
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        for error in RATES {
            section(writer, self.rates.get(error.name()).map(RateDetector::encode));
        }
        section(writer, self.calibration.as_ref().map(CalibrationDetector::encode));
    }

    pub(super) fn decode(
        reader: &mut Reader<'_>,
        baseline: &Baseline,
        settings: &Settings,
    ) -> Result<Self, DecodeError> {
        let mut detectors = Self::default();
        for error in RATES {
            let Some(bytes) = read_section(reader)? else { continue };
            let promise = promise(error, baseline, settings);
            let decoded = promise.and_then(|promise| RateDetector::decode(error, &promise, bytes));
            detectors.rates.insert(error.name(), decoded.ok_or_else(|| reader.range("the state of a rate"))?);
        }
        if let Some(bytes) = read_section(reader)? {
            let decoded = CalibrationDetector::decode(calibration_threshold(baseline, settings), bytes);
            detectors.calibration = Some(decoded.ok_or_else(|| reader.range("the state of calibration"))?);
        }
        Ok(detectors)
    }
}

/// Their guarantee is a theorem that needs no baseline, so they are always armed.
fn report(name: &str, evidence: &Evidence) -> DetectorReport {
    DetectorReport {
        detector: name.to_owned(),
        evidence: evidence.value(),
        threshold: evidence.threshold(),
        armed: true,
        in_alarm: evidence.is_in_alarm(),
        n: evidence.n(),
    }
}

/// Bytes with their length, or that there are none.
pub(super) fn section(writer: &mut Writer, bytes: Option<Vec<u8>>) {
    writer.flag(bytes.is_some());
    if let Some(bytes) = bytes {
        writer.n(bytes.len() as u64);
        writer.bytes(&bytes);
    }
}

pub(super) fn read_section<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    if !reader.flag("a flag")? {
        return Ok(None);
    }
    let n = reader.length(1, "a length")?;
    reader.bytes(n).map(Some)
}
