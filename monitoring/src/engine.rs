//! The engine: rows in the order of their leaves and labels in theirs become windows, alarms and samples. It
//! is a deterministic state machine: the same log and decisions give the same bits, wherever it was
//! interrupted.

mod counts;
mod effects;
mod labels;
mod settings;
mod state;
#[cfg(test)]
mod tests;

mod windows;

pub use effects::{AlarmOpened, Effects, SampleDrawn};
pub use settings::Settings;
pub use state::StreamState;
pub use windows::{Closed, Leaves, Span};

use crate::baseline::Baseline;
use crate::codec::DecodeError;
use crate::observation::{LabelledObservation, Observation};
use crate::performance::sample;
use crate::stream::{Model, Stream};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use time::OffsetDateTime;
use uuid::Uuid;

/// Most streams. Images of further ones count only in the slice of all images.
pub const MAX_STREAMS: usize = 50;

/// The number of a stream, in the order in which the log first had one of its images.
pub type StreamId = u32;

#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    /// Key by which the review sample is drawn.
    sample_key: Vec<u8>,
    streams: Vec<StreamState>,
    ids: HashMap<Stream, StreamId>,
    /// Streams of rows that looked alike, so that no row compares texts twice.
    known: HashMap<Shape, Vec<StreamId>>,
    /// The first time at which some window closes.
    next_close: i64,
    effects: Effects,
}

/// What decides to which streams a row belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    site: Arc<str>,
    view: Option<Arc<str>>,
    model: Option<Arc<Model>>,
}

impl Engine {
    pub fn new(settings: Settings, sample_key: &[u8]) -> Self {
        Self {
            settings,
            sample_key: sample_key.to_vec(),
            streams: Vec::new(),
            ids: HashMap::new(),
            known: HashMap::new(),
            next_close: i64::MAX,
            effects: Effects::default(),
        }
    }

    /// Continues from stored states, in the order of the streams' numbers.
    ///
    /// # Errors
    /// A state that does not decode, or whose baseline is missing.
    pub fn resume(
        settings: Settings,
        sample_key: &[u8],
        stored: Vec<(Stream, Option<Vec<u8>>)>,
        baselines: &BTreeMap<Uuid, Arc<Baseline>>,
    ) -> Result<Self, DecodeError> {
        let mut engine = Self::new(settings, sample_key);
        for (stream, state) in stored {
            let state = match state {
                Some(bytes) => StreamState::decode(stream.clone(), &bytes, &engine.settings, baselines)?,
                None => StreamState::new(stream.clone()),
            };
            engine.ids.insert(stream, engine.streams.len() as StreamId);
            engine.streams.push(state);
        }
        engine.note_next_close();
        Ok(engine)
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn streams(&self) -> &[StreamState] {
        &self.streams
    }

    /// Streams beyond the limit.
    pub fn n_pooled(&self) -> usize {
        self.streams.first().map_or(0, StreamState::n_pooled)
    }

    /// The state of a stream, for the database.
    pub fn encode(&self, id: StreamId) -> Vec<u8> {
        self.streams[id as usize].encode()
    }

    /// What happened since the last call.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Takes the row of the next leaf.
    pub fn observe(&mut self, observation: &Observation) {
        let now = observation.received_at.unix_timestamp();
        if now >= self.next_close {
            self.close(now);
        }
        let model = observation.score.as_ref().map(|score| &score.model);
        let ids = self.ids_of(&observation.site, observation.view.as_ref(), model);
        for id in ids {
            let state = &mut self.streams[id as usize];
            state.observe(id, observation, &mut self.effects);
            self.effects.changed.insert(id);
            self.next_close = self.next_close.min(state.next_close());
            if state.is_full() {
                state.close(id, i64::MAX - 1, &mut self.effects);
            }
        }
        self.draw(observation);
        self.effects.newest_row_at = self.effects.newest_row_at.max(Some(observation.received_at));
    }

    fn close(&mut self, now: i64) {
        for (id, state) in (0..).zip(&mut self.streams) {
            if state.close(id, now, &mut self.effects) {
                self.effects.changed.insert(id);
            }
        }
        self.note_next_close();
    }

    fn note_next_close(&mut self) {
        self.next_close = self.streams.iter().map(StreamState::next_close).min().unwrap_or(i64::MAX);
    }

    /// Draws an image for the review sample.
    fn draw(&mut self, observation: &Observation) {
        let Some(score) = &observation.score else { return };
        let plan = self.settings.plan();
        let (stratum, inclusion_probability) =
            plan.stratum(score.probability, score.threshold, score.review_required);
        // Images in review are read anyway.
        if score.review_required || !sample::draw(&self.sample_key, observation.id, inclusion_probability) {
            return;
        }
        let stream = stream(&observation.site, Stream::ALL.to_owned(), Some(&score.model));
        let Some(id) = self.ids.get(&stream).copied() else { return };
        self.effects.samples.push(SampleDrawn {
            prediction_id: observation.id,
            stream: id,
            leaf_index: observation.leaf_index,
            received_at: observation.received_at,
            stratum,
            inclusion_probability,
        });
    }

    /// Takes the next label. Its row was observed before.
    pub fn label(&mut self, label: &LabelledObservation) {
        for id in self.ids_of(&label.site, label.view.as_ref(), Some(&label.score.model)) {
            let state = &mut self.streams[id as usize];
            if state.stream().model.is_some() && state.label(id, label, &self.settings, &mut self.effects) {
                self.effects.changed.insert(id);
            }
        }
    }

    /// Detectors of the baseline's stream use it from the next row and label on.
    pub fn approve(&mut self, id: StreamId, baseline_id: Uuid, baseline: Arc<Baseline>) {
        if let Some(state) = self.streams.get_mut(id as usize) {
            state.approve(baseline_id, baseline, &self.settings);
            self.effects.changed.insert(id);
        }
    }

    /// An alarm's detector starts anew.
    pub fn resolve(&mut self, id: StreamId, alarm: Uuid) {
        if let Some(state) = self.streams.get_mut(id as usize) {
            state.resolve(alarm, &self.settings);
            self.effects.changed.insert(id);
        }
    }

    /// Detectors whose promises change start anew.
    pub fn configure(&mut self, settings: Settings) {
        let drawn_alike = Settings { sample_rate: self.settings.sample_rate, ..settings.clone() };
        let restart = drawn_alike != self.settings || settings.plan() != self.settings.plan();
        self.settings = settings;
        if restart {
            for (id, state) in (0..).zip(&mut self.streams) {
                state.configure(&self.settings);
                self.effects.changed.insert(id);
            }
        }
    }

    /// The streams of a row, which are made where they are missing and there is room.
    fn ids_of(
        &mut self,
        site: &Arc<str>,
        view: Option<&Arc<str>>,
        model: Option<&Arc<Model>>,
    ) -> Vec<StreamId> {
        let shape = Shape { site: Arc::clone(site), view: view.cloned(), model: model.cloned() };
        if let Some(ids) = self.known.get(&shape) {
            return ids.clone();
        }
        let ids: BTreeSet<StreamId> =
            belonging(site, view, model).into_iter().filter_map(|stream| self.id_of(stream)).collect();
        let ids: Vec<StreamId> = ids.into_iter().collect();
        // Sites and models are few; a crowded database must not fill the memory.
        if self.known.len() < 10_000 {
            self.known.insert(shape, ids.clone());
        }
        ids
    }

    fn id_of(&mut self, stream: Stream) -> Option<StreamId> {
        if let Some(id) = self.ids.get(&stream) {
            return Some(*id);
        }
        if self.streams.len() == MAX_STREAMS {
            if self.streams[0].pool(&stream) {
                self.effects.changed.insert(0);
            }
            return None;
        }
        let id = self.streams.len() as StreamId;
        self.streams.push(StreamState::new(stream.clone()));
        self.effects.new_streams.push((id, stream.clone()));
        self.effects.changed.insert(id);
        self.ids.insert(stream, id);
        Some(id)
    }
}

fn stream(site: &str, slice: String, model: Option<&Arc<Model>>) -> Stream {
    Stream { site: site.to_owned(), slice, model: model.map(|model| Model::clone(model)) }
}

/// The streams to which a row belongs, with and without room for them: image statistics and rejections go on
/// across models.
fn belonging(site: &str, view: Option<&Arc<str>>, model: Option<&Arc<Model>>) -> Vec<Stream> {
    let slices =
        || [Some(Stream::ALL.to_owned()), view.map(|view| format!("view:{view}"))].into_iter().flatten();
    let models = [None, model];
    let models = if model.is_some() { &models[..] } else { &models[..1] };
    slices().flat_map(|slice| models.iter().map(move |model| stream(site, slice.clone(), *model))).collect()
}

/// Whether a row belongs to a stream.
pub fn belongs(observation: &Observation, stream: &Stream) -> bool {
    let model = observation.score.as_ref().map(|score| &score.model);
    belonging(&observation.site, observation.view.as_ref(), model).contains(stream)
}

/// The time of a number of seconds, which came from a time.
fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

impl Closed {
    pub fn starts_at(&self) -> OffsetDateTime {
        at(self.starts)
    }
}
