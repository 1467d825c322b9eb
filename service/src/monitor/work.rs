//! One step of the job: from rows and labels to what is stored. The engine in memory is always at the cursor
//! of the last commit; after an error it is dropped.

use super::MonitorError;
use super::recent::{N_LABELS, N_ROWS, Recent};
use crate::store::monitoring::{
    Cursor, Decision, DecisionKind, NewAlarm, NewSample, NewWindow, Step, StepInput, StepOutcome,
};
use crate::store::{Lease, Operator};
use monitoring::baseline::Baseline;
use monitoring::engine::{Effects, Engine, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct Work {
    engine: Engine,
    cursor: Cursor,
    pub(super) recent: Recent,
    /// Labels are searched since the last step; at first all of them.
    all_labels: bool,
}

impl Work {
    /// Continues from the stored state.
    pub async fn resume(lease: &mut Lease, sample_key: &[u8]) -> Result<Self, MonitorError> {
        let stored = lease.monitoring_state().await?;
        let settings = stored.settings.map(serde_json::from_value).transpose()?.unwrap_or_default();
        let mut baselines = BTreeMap::new();
        for (id, content) in lease.baselines_in_use(stored.cursor.next_decision).await? {
            let baseline = Baseline::decode(&content);
            let baseline = baseline.map_err(|source| MonitorError::State { what: "a baseline", source })?;
            baselines.insert(id, Arc::new(baseline));
        }
        let streams = stored.streams.into_iter().map(|stored| (stored.stream, stored.state)).collect();
        let engine = Engine::resume(settings, sample_key, streams, &baselines);
        let engine = engine.map_err(|source| MonitorError::State { what: "a stream's state", source })?;
        let cursor = stored.cursor;
        let from = cursor.next_leaf.saturating_sub(N_ROWS as u64);
        let rows = lease.monitoring_rows(from, (cursor.next_leaf - from) as usize).await?;
        let mut recent = Recent::default();
        recent.add(rows.rows, Vec::new());
        let mut from = cursor.next_label.saturating_sub(N_LABELS as u64);
        while from < cursor.next_label {
            let to = (from + N_ROWS as u64).min(cursor.next_label);
            recent.add(Vec::new(), lease.labels_between(from, to).await?);
            from = to;
        }
        Ok(Self { engine, cursor, recent, all_labels: true })
    }

    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Decides that other settings hold from the next step on, if they differ.
    pub async fn configure(&mut self, lease: &mut Lease, settings: &Settings) -> Result<(), MonitorError> {
        if lease.newest_monitoring_settings().await?.as_ref() != Some(&serde_json::to_value(settings)?) {
            let by = Operator { actor: Some("monitor".to_owned()), ..Operator::command() };
            lease.decide_monitoring_settings(&serde_json::to_value(settings)?, &by).await?;
        }
        Ok(())
    }

    /// Reads up to `limit` leaves and commits what they change.
    pub async fn step(&mut self, lease: &mut Lease, limit: usize) -> Result<StepOutcome, MonitorError> {
        let Self { engine, recent, .. } = self;
        let compute = async |input: StepInput| {
            apply(engine, &input.decisions)?;
            input.rows.rows.iter().for_each(|row| engine.observe(row));
            input.labels.iter().for_each(|label| engine.label(label));
            let effects = engine.take_effects();
            recent.add(input.rows.rows, input.labels);
            Ok::<_, MonitorError>(effects_as_step(engine, effects))
        };
        let outcome = lease.monitoring_step(&self.cursor, limit, self.all_labels, compute).await?;
        let outcome = outcome.ok_or(MonitorError::Moved)?;
        self.cursor = outcome.cursor.clone();
        // All of them were searched once the rows and labels of a backlog are read.
        self.all_labels &= outcome.is_behind;
        Ok(outcome)
    }
}

/// Applies decisions in their order.
pub fn apply(engine: &mut Engine, decisions: &[Decision]) -> Result<(), MonitorError> {
    for decision in decisions {
        match &decision.kind {
            DecisionKind::Approved { baseline, stream, content } => {
                let decoded = Baseline::decode(content);
                let decoded = decoded.map_err(|source| MonitorError::State { what: "a baseline", source })?;
                engine.approve(*stream, *baseline, Arc::new(decoded));
            }
            DecisionKind::Resolved { alarm, stream, .. } => engine.resolve(*stream, *alarm),
            DecisionKind::Settings(settings) => engine.configure(serde_json::from_value(settings.clone())?),
        }
    }
    Ok(())
}

/// What the effects change in the database.
fn effects_as_step(engine: &Engine, effects: Effects) -> Step {
    let window = |(stream, closed): (u32, monitoring::engine::Closed)| NewWindow {
        stream,
        span: closed.span.name(),
        starts: closed.starts_at(),
        first_leaf: closed.content.first,
        last_leaf: closed.content.last,
        n_rows: closed.content.window.n_rows(),
        counts: serde_json::to_value(closed.content.window.counts()).unwrap_or_default(),
        content: closed.content.window.encode(),
    };
    let alarm = |opened: monitoring::engine::AlarmOpened| NewAlarm {
        id: opened.id,
        stream: opened.stream,
        detector: opened.detector.to_owned(),
        severity: opened.severity,
        opened_at: opened.at,
        opened_leaf: opened.leaf,
        change_at: opened.change_at,
        evidence: opened.evidence,
        threshold: opened.threshold,
        baseline: opened.baseline,
        quantities: opened.quantities,
    };
    let sample = |drawn: monitoring::engine::SampleDrawn| NewSample {
        prediction_id: drawn.prediction_id,
        stream: drawn.stream,
        leaf_index: drawn.leaf_index,
        received_at: drawn.received_at,
        stratum: drawn.stratum,
        inclusion_probability: drawn.inclusion_probability,
    };
    Step {
        new_streams: effects.new_streams,
        states: effects.changed.iter().map(|id| (*id, engine.encode(*id))).collect(),
        windows: effects.closed.into_iter().map(window).collect(),
        alarms: effects.alarms.into_iter().map(alarm).collect(),
        samples: effects.samples.into_iter().map(sample).collect(),
        newest_row_at: effects.newest_row_at,
    }
}
