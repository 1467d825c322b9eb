//! Prevalence: a detector of its own, because more pneumonia in winter is no failure of the model, and an
//! estimate without labels.

use crate::baseline::sample::is_used;
use crate::baseline::{Baseline, Detector, ShareReference};
use crate::codec::{DecodeError, Reader, Writer};
use crate::drift::bets::{N_SHARE_BETS, ShareBets};
use crate::drift::track::Track;
use crate::drift::{Opened, Place};
use crate::observation::Observation;
use crate::snapshot::{Figure, PrevalenceReport};
use std::collections::VecDeque;
use std::sync::Arc;

const VERSION: u64 = 1;
/// Images behind the estimate.
const N_RECENT: usize = 500;

/// Watches the mean probability of one stream against its baseline.
#[derive(Debug, Clone)]
pub struct PrevalenceDetector {
    baseline: Arc<Baseline>,
    digest: [u8; 32],
    reference: ShareReference,
    track: Track<N_SHARE_BETS>,
    alarm: Option<Place>,
    recent: VecDeque<f64>,
}

impl PrevalenceDetector {
    /// `None` if the baseline has no probabilities.
    pub fn new(baseline: Arc<Baseline>) -> Option<Self> {
        let reference = baseline.prevalence?;
        let (track, recent) = (Track::default(), VecDeque::new());
        Some(Self { digest: baseline.digest(), baseline, reference, track, alarm: None, recent })
    }

    /// Takes the next image in the order of the leaves.
    pub fn observe(&mut self, observation: &Observation) -> Option<Opened> {
        let score = observation.score.as_ref().filter(|_| is_used(observation))?;
        if !(0.0..=1.0).contains(&score.probability) {
            return None;
        }
        let place =
            Place { leaf: observation.leaf_index, received_at_s: observation.received_at.unix_timestamp() };
        self.track.add(&self.bets().factors(score.probability), place);
        if self.recent.len() == N_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(score.probability);
        let setting = *self.baseline.setting(Detector::Prevalence)?;
        let evidence = self.track.evidence();
        if !setting.is_armed || self.alarm.is_some() || evidence < setting.threshold {
            return None;
        }
        let began = self.track.winner().1;
        self.alarm = Some(began);
        let mean = self.recent.iter().sum::<f64>() / self.recent.len() as f64;
        Some(Opened {
            detector: Detector::Prevalence,
            evidence,
            threshold: setting.threshold,
            leaf: observation.leaf_index,
            at: observation.received_at,
            change_at: began.at(),
            quantities: vec![("prevalence".to_owned(), mean - self.reference.mean)],
        })
    }

    fn bets(&self) -> ShareBets {
        ShareBets::new(self.reference.mean, self.reference.tolerance)
    }

    pub const fn is_in_alarm(&self) -> bool {
        self.alarm.is_some()
    }

    /// Forgets the evidence: the alarm is resolved.
    pub fn restart(&mut self) {
        self.track = Track::default();
        self.alarm = None;
    }

    /// `None` before the first image.
    pub fn report(&self) -> Option<PrevalenceReport> {
        let setting = self.baseline.setting(Detector::Prevalence)?;
        Some(PrevalenceReport {
            estimate: estimate(self.recent.iter().copied(), &self.reference)?,
            baseline: self.reference.mean,
            evidence: self.track.evidence(),
            threshold: setting.threshold,
            armed: setting.is_armed,
            in_alarm: self.alarm.is_some(),
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.n(VERSION);
        writer.bytes(&self.digest);
        self.track.encode(&mut writer);
        writer.flag(self.alarm.is_some());
        if let Some(began) = self.alarm {
            began.encode(&mut writer);
        }
        writer.n(self.recent.len() as u64);
        self.recent.iter().for_each(|probability| writer.double(*probability));
        writer.finish()
    }

    /// The detector with the state of `bytes`; `None` if the baseline has no probabilities.
    ///
    /// # Errors
    /// Bytes of another baseline, or that no state encodes to.
    pub fn decode(baseline: Arc<Baseline>, bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some(mut detector) = Self::new(baseline) else { return Ok(None) };
        let mut reader = Reader::new(bytes, "a detector's state", VERSION)?;
        if reader.bytes(detector.digest.len())? != detector.digest {
            return Err(reader.range("the baseline's digest"));
        }
        detector.track = Track::decode(&mut reader)?;
        detector.alarm = if reader.flag("an alarm")? { Some(Place::decode(&mut reader)?) } else { None };
        for _ in 0..reader.n(N_RECENT as u64, "the number of recent images")? {
            let probability = reader.finite("a probability")?;
            if !(0.0..=1.0).contains(&probability) {
                return Err(reader.range("a probability"));
            }
            detector.recent.push_back(probability);
        }
        reader.at_end()?;
        Ok(Some(detector))
    }
}

/// Estimates the share of positives by expectation maximisation (Saerens, Latinne and Decaestecker 2002),
/// with the baseline's mean probability as the share for which probabilities are calibrated. The interval has
/// the curvature of the likelihood, and the error of the baseline's mean. It assumes that each class looks as
/// in the baseline: under drift it means nothing.
pub fn estimate(
    probabilities: impl Iterator<Item = f64> + Clone,
    baseline: &ShareReference,
) -> Option<Figure> {
    const EDGE: f64 = 1e-6;
    let n = probabilities.clone().count();
    if n == 0 {
        return None;
    }
    let trained = baseline.mean.clamp(EDGE, 1.0 - EDGE);
    let odds = |p: f64| (p / trained, (1.0 - p) / (1.0 - trained));
    let mut share = trained;
    for _ in 0..200 {
        let posterior = |p| {
            let (positive, negative) = odds(p);
            share * positive / (share * positive + (1.0 - share) * negative)
        };
        let next = (probabilities.clone().map(posterior).sum::<f64>() / n as f64).clamp(EDGE, 1.0 - EDGE);
        let change = (next - share).abs();
        share = next;
        if change < 1e-9 {
            break;
        }
    }
    let information: f64 = probabilities
        .map(|p| {
            let (positive, negative) = odds(p);
            let slope = (positive - negative) / (share * positive + (1.0 - share) * negative);
            slope * slope
        })
        .sum();
    // A third of the tolerance is at least the standard error of the baseline's mean.
    let of_baseline = baseline.tolerance / 3.0;
    let half = 1.96 * (1.0 / information.max(1.0) + of_baseline * of_baseline).sqrt();
    Some(Figure { value: share, low: (share - half).max(0.0), high: (share + half).min(1.0), n: n as u64 })
}

#[cfg(test)]
mod tests;
