//! The state of detectors as bytes. A detector restored from them gives the same bits.

use super::track::{Place, Track};
use super::{DriftDetector, N_RECENT};
use crate::baseline::Baseline;
use crate::codec::{DecodeError, Reader, Writer};
use std::sync::Arc;

const VERSION: u64 = 1;

impl DriftDetector {
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.n(VERSION);
        writer.bytes(&self.digest);
        for state in &self.quantities {
            state.track.encode(&mut writer);
            writer.n(state.n);
            writer.double(state.shift);
        }
        if let Some((_, track)) = &self.rejections {
            track.encode(&mut writer);
            writer.n(self.n_rejections);
        }
        for state in &self.groups {
            writer.flag(state.alarm.is_some());
            if let Some(began) = state.alarm {
                began.encode(&mut writer);
            }
        }
        writer.n(self.recent_ood.len() as u64);
        self.recent_ood.iter().for_each(|above| writer.flag(*above));
        writer.finish()
    }

    /// The detector with the state of `bytes`, which was written for the same baseline.
    ///
    /// # Errors
    /// Bytes of another baseline, or that no state encodes to.
    pub fn decode(baseline: Arc<Baseline>, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut detector = Self::new(baseline);
        let mut reader = Reader::new(bytes, "a detector's state", VERSION)?;
        if reader.bytes(detector.digest.len())? != detector.digest {
            return Err(reader.range("the baseline's digest"));
        }
        for state in &mut detector.quantities {
            state.track = Track::decode(&mut reader)?;
            state.n = reader.n(u64::MAX, "a count")?;
            state.shift = reader.finite("a shift")?;
        }
        if let Some((_, track)) = &mut detector.rejections {
            *track = Track::decode(&mut reader)?;
            detector.n_rejections = reader.n(u64::MAX, "a count")?;
        }
        for state in &mut detector.groups {
            state.alarm = if reader.flag("an alarm")? { Some(Place::decode(&mut reader)?) } else { None };
        }
        for _ in 0..reader.n(N_RECENT as u64, "the number of recent images")? {
            detector.recent_ood.push_back(reader.flag("a recent image")?);
        }
        reader.at_end()?;
        Ok(detector)
    }
}
