//! The results of monitoring in this replica: read from the database every 15 s, exported as metrics and
//! served by the API. If they cannot be read, the last ones stay, and their age shows it.

use crate::store::{AlarmMark, Store, StoreError, StoredResults};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::{Metrics, MonitoringResults};
use monitoring::snapshot::{Alarm, Snapshot};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Notify;

const READ_EVERY: Duration = Duration::from_secs(15);

pub struct Results {
    store: Arc<Store>,
    newest: RwLock<Option<Arc<Reading>>>,
    /// Asks for a read before the next one is due.
    wanted: Notify,
}

/// What one read gave.
#[derive(Debug)]
pub struct Reading {
    /// Counts the reads.
    number: u64,
    pub read_at: OffsetDateTime,
    /// When the leader last committed a step.
    pub stepped_at: OffsetDateTime,
    pub newest_row_at: Option<OffsetDateTime>,
    pub n_rows_behind: u64,
    /// The newest result with the time of its computation; `None` before the first.
    pub result: Option<(OffsetDateTime, Arc<Snapshot>)>,
    /// Alarms that are not resolved, with what was done about them since the result.
    pub alarms: Vec<Alarm>,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the result in monitoring_results is not one that this version reads")]
    Snapshot(#[from] serde_json::Error),
}

impl Results {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, newest: RwLock::default(), wanted: Notify::new() }
    }

    /// Exports the newest reading with every exposition.
    pub fn export(self: &Arc<Self>, metrics: &Metrics) {
        let (results, exported) = (Arc::clone(self), AtomicU64::new(0));
        metrics.watch(move |metrics| {
            let Some(reading) = results.newest() else { return };
            if exported.swap(reading.number, Ordering::Relaxed) != reading.number {
                metrics.monitoring(&MonitoringResults {
                    read_at: reading.read_at,
                    stepped_at: reading.stepped_at,
                    newest_row_at: reading.newest_row_at,
                    n_rows_behind: reading.n_rows_behind,
                    snapshot: reading.result.as_ref().map(|(_, snapshot)| &**snapshot),
                    alarms: &reading.alarms,
                });
            }
        });
    }

    /// Reads again and again.
    pub async fn follow(self: Arc<Self>) {
        let mut last_failure = String::new();
        loop {
            match self.read().await {
                Ok(()) => last_failure.clear(),
                Err(error) => {
                    let cause = chain(&error);
                    if cause != last_failure {
                        tracing::warn!(
                            cause,
                            "the results of monitoring could not be read; the last ones stay"
                        );
                    }
                    last_failure = cause;
                }
            }
            // A read that is asked for, or the next one that is due.
            let _ = tokio::time::timeout(READ_EVERY, self.wanted.notified()).await;
        }
    }

    /// The newest reading; `None` before the first.
    pub fn newest(&self) -> Option<Arc<Reading>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads soon.
    pub fn refresh(&self) {
        self.wanted.notify_one();
    }

    async fn read(&self) -> Result<(), ReadError> {
        let before = self.newest();
        let known = before.as_ref().and_then(|reading| reading.result.clone());
        let stored = self.store.reader.monitoring_results(known.as_ref().map(|(at, _)| *at)).await?;
        let n_rows_behind = stored.n_rows_behind();
        let StoredResults { computed_at, stepped_at, newest_row_at, snapshot, .. } = stored;
        let result = match (computed_at, snapshot) {
            (Some(at), Some(snapshot)) => Some((at, Arc::new(serde_json::from_value(snapshot)?))),
            (Some(_), None) => known,
            (None, _) => None,
        };
        let alarms: &[Alarm] = result.as_ref().map_or(&[], |(_, snapshot)| &snapshot.alarms);
        let ids: Vec<_> = alarms.iter().map(|alarm| alarm.id).collect();
        let marks = if ids.is_empty() { Vec::new() } else { self.store.reader.alarm_marks(&ids).await? };
        let reading = Reading {
            number: before.map_or(0, |reading| reading.number) + 1,
            read_at: OffsetDateTime::now_utc(),
            stepped_at,
            newest_row_at,
            n_rows_behind,
            alarms: unresolved(alarms, &marks),
            result,
        };
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(reading));
        Ok(())
    }
}

/// The alarms with the events that are newer than the result.
fn unresolved(alarms: &[Alarm], marks: &[AlarmMark]) -> Vec<Alarm> {
    let of = |alarm: &Alarm, event: &str| {
        marks.iter().find(|mark| mark.alarm_id == alarm.id && mark.event == event).map(|mark| mark.at)
    };
    let marked = |alarm: &Alarm| Alarm {
        acknowledged_at: of(alarm, "acknowledged").or(alarm.acknowledged_at),
        escalated_at: of(alarm, "escalated").or(alarm.escalated_at),
        ..alarm.clone()
    };
    alarms.iter().filter(|alarm| of(alarm, "resolved").is_none()).map(marked).collect()
}
