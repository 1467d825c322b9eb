//! `monitor replay`: computes streams, windows and alarms again from the log and compares them to the bit.

use crate::config::{self, Sources};
use crate::monitor::{apply, sample_key};
use crate::record::hmac::SiteKey;
use crate::stdout;
use crate::store::Store;
use crate::store::monitoring::{Cursor, StoredStream, WindowKey};
use anyhow::ensure;
use monitoring::engine::{Effects, Engine, Settings, Span};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use time::Duration;
use uuid::Uuid;

const BATCH: usize = 2000;
/// Differences that are printed.
const MOST_PRINTED: usize = 20;

#[tokio::main]
pub(super) async fn run(sources: &Sources, from_leaf: u64) -> anyhow::Result<ExitCode> {
    ensure!(from_leaf == 0, "--from-leaf: there is no stored state of leaf {from_leaf}; use 0");
    let (database, audit) = config::load_audit(sources)?;
    let store = Store::new(&database)?;
    let state = store.reader.monitoring_state().await?;
    let mut replay = Replay::new(&store, &sample_key(&SiteKey::new(&audit.input_key)));
    replay.run(&state.cursor).await?;
    let n_dropped = replay.n_gone.saturating_sub(state.cursor.n_gone);
    ensure!(
        n_dropped == 0,
        "retention has dropped {n_dropped} rows since they were read: the log before them cannot be computed again"
    );
    let differences = replay.differences(&state.streams, &state.cursor).await?;
    stdout::print(format_args!(
        "replayed {} leaves, {} labels and {} decisions: {} streams, {} windows, {} alarms",
        state.cursor.next_leaf,
        state.cursor.next_label,
        state.cursor.next_decision,
        replay.engine.streams().len(),
        replay.windows.len(),
        replay.alarms.len()
    ));
    for difference in differences.iter().take(MOST_PRINTED) {
        stdout::print(difference);
    }
    if differences.is_empty() {
        stdout::print("everything agrees to the bit");
        return Ok(ExitCode::SUCCESS);
    }
    stdout::print(format_args!("{} differences", differences.len()));
    Ok(ExitCode::FAILURE)
}

struct Replay<'a> {
    store: &'a Store,
    engine: Engine,
    next_leaf: u64,
    next_label: u64,
    n_gone: u64,
    windows: BTreeMap<WindowKey, [u8; 32]>,
    alarms: BTreeSet<Uuid>,
}

impl<'a> Replay<'a> {
    fn new(store: &'a Store, sample_key: &[u8]) -> Self {
        let engine = Engine::new(Settings::default(), sample_key);
        let (windows, alarms) = (BTreeMap::new(), BTreeSet::new());
        Self { store, engine, next_leaf: 0, next_label: 0, n_gone: 0, windows, alarms }
    }

    /// Goes on to a cursor, with each decision where it took effect.
    async fn run(&mut self, to: &Cursor) -> anyhow::Result<()> {
        let mut next_decision = 0;
        while next_decision < to.next_decision {
            let decisions = self.store.reader.monitoring_decisions(next_decision).await?;
            ensure!(!decisions.is_empty(), "decision {next_decision} is missing");
            for decision in decisions.into_iter().take((to.next_decision - next_decision) as usize) {
                self.read(decision.from_leaf, decision.from_label).await?;
                next_decision = decision.position + 1;
                apply(&mut self.engine, &[decision])?;
            }
        }
        self.read(to.next_leaf, to.next_label).await
    }

    async fn read(&mut self, leaf: u64, label: u64) -> anyhow::Result<()> {
        while self.next_leaf < leaf {
            let limit = BATCH.min((leaf - self.next_leaf) as usize);
            let batch = self.store.reader.monitoring_rows(self.next_leaf, limit).await?;
            ensure!(batch.n_leaves > 0, "the tree has no leaf {}", self.next_leaf);
            self.n_gone += batch.n_gone();
            self.next_leaf = batch.next_leaf;
            batch.rows.iter().for_each(|row| self.engine.observe(row));
            let effects = self.engine.take_effects();
            self.note(effects);
        }
        while self.next_label < label {
            let to = (self.next_label + BATCH as u64).min(label);
            for label in self.store.reader.monitoring_labels(self.next_label, to).await? {
                self.engine.label(&label);
            }
            self.next_label = to;
            let effects = self.engine.take_effects();
            self.note(effects);
        }
        Ok(())
    }

    fn note(&mut self, effects: Effects) {
        for (stream, closed) in effects.closed {
            let mut key = WindowKey {
                stream,
                is_day: closed.span == Span::Day,
                starts: closed.starts_at(),
                revision: 0,
            };
            while self.windows.contains_key(&key) {
                key.revision += 1;
            }
            self.windows.insert(key, Sha256::digest(closed.content.window.encode()).into());
        }
        self.alarms.extend(effects.alarms.iter().map(|alarm| alarm.id));
    }

    /// What differs from the database, which may have gone on meanwhile.
    async fn differences(&self, streams: &[StoredStream], to: &Cursor) -> anyhow::Result<Vec<String>> {
        let mut differences = Vec::new();
        let replayed = self.engine.streams();
        if replayed.len() != streams.len() {
            differences.push(format!(
                "{} streams are stored, {} were replayed",
                streams.len(),
                replayed.len()
            ));
        }
        for (stored, replayed) in streams.iter().zip(replayed) {
            let is_same = stored.stream == *replayed.stream()
                && stored.state.as_ref() == Some(&self.engine.encode(stored.id));
            if !is_same {
                differences.push(format!("stream {}: the state differs", stored.id));
            }
        }
        let stored = self.store.reader.window_digests(to.next_leaf).await?;
        // Older hours are deleted, a few at a time.
        let kept_from = to.stepped_at - Duration::days(35);
        for (key, digest) in &stored {
            if self.windows.get(key) != Some(digest) {
                differences.push(format!("{key}: the stored window is not what its rows give"));
            }
        }
        for key in self.windows.keys().filter(|key| !stored.contains_key(key)) {
            if key.is_day || key.starts >= kept_from {
                differences.push(format!("{key}: the window is not stored"));
            }
        }
        let stored: BTreeSet<Uuid> =
            self.store.reader.alarm_ids(to.next_leaf, to.next_label).await?.into_iter().collect();
        for id in stored.symmetric_difference(&self.alarms) {
            let where_found =
                if stored.contains(id) { "stored and not replayed" } else { "replayed and not stored" };
            differences.push(format!("alarm {id}: {where_found}"));
        }
        Ok(differences)
    }
}
