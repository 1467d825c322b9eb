//! The owner of the rows that wait for others: one task, reached by messages. It asks the policy, and each group is committed
//! by a task of its own, so that a slow commit holds up no other.

use super::RecordError;
use super::group::{GroupPolicy, Step};
use crate::record::SealedRow;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// A row on its way into the log. Admission bounds how many there can be.
pub(super) struct Submitted {
    row: Arc<SealedRow>,
    in_flight: usize,
    at: Instant,
    committed: oneshot::Sender<Result<(), RecordError>>,
}

/// The way to the owner.
pub(super) struct Writer(UnboundedSender<Submitted>);

impl Writer {
    /// Starts the owner; it ends with the last writer, and leaves no row behind. Call inside a Tokio runtime.
    pub(super) fn start(policy: GroupPolicy, store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        let (rows, inbox) = unbounded_channel();
        tokio::spawn(Owner { policy, store, metrics, waiting: VecDeque::new(), in_flight: 0 }.work(inbox));
        Self(rows)
    }

    /// Commits the row with others.
    ///
    /// # Errors
    /// When it is not known to be committed.
    pub(super) async fn commit(&self, row: Arc<SealedRow>, in_flight: usize) -> Result<(), RecordError> {
        let (committed, told) = oneshot::channel();
        let submitted = Submitted { row, in_flight, at: Instant::now(), committed };
        self.0.send(submitted).map_err(|_| JobLost)?;
        told.await.map_err(|_| JobLost)?
    }
}

struct Owner {
    policy: GroupPolicy,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    waiting: VecDeque<Submitted>,
    /// As the newest row saw it.
    in_flight: usize,
}

impl Owner {
    async fn work(mut self, mut inbox: UnboundedReceiver<Submitted>) {
        loop {
            let oldest_waited = self.waiting.front().map(|row| row.at.elapsed()).unwrap_or_default();
            let submitted = match self.policy.next(self.waiting.len(), oldest_waited, self.in_flight) {
                Step::Commit(n) => {
                    self.hand_over(n);
                    continue;
                }
                Step::Wait(left) => match tokio::time::timeout(left, inbox.recv()).await {
                    Ok(submitted) => submitted,
                    Err(_) => continue,
                },
                Step::Rest => inbox.recv().await,
            };
            let Some(submitted) = submitted else { break };
            self.take(submitted);
            while let Ok(submitted) = inbox.try_recv() {
                self.take(submitted);
            }
        }
        self.hand_over(self.waiting.len());
    }

    fn take(&mut self, submitted: Submitted) {
        self.in_flight = submitted.in_flight;
        self.waiting.push_back(submitted);
    }

    fn hand_over(&mut self, n: usize) {
        let group: Vec<Submitted> = self.waiting.drain(..n).collect();
        if group.is_empty() {
            return;
        }
        let (store, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
        tokio::spawn(async move { commit(&store, &metrics, group).await });
    }
}

/// Commits a group. Where the database refuses a row for what it holds, nothing of the group is committed, and each goes by
/// itself: one bad row costs no other its answer.
async fn commit(store: &Store, metrics: &Metrics, group: Vec<Submitted>) {
    let rows: Vec<&SealedRow> = group.iter().map(|submitted| &*submitted.row).collect();
    match store.insert_predictions(&rows).await {
        Err(error) if group.len() > 1 && error.blames_a_row() => {
            for Submitted { row, committed, .. } in group {
                let inserted = store.insert_predictions(&[&row]).await;
                let inserted = inserted.inspect(|()| metrics.committed(1));
                drop(committed.send(inserted.map_err(RecordError::from)));
            }
        }
        outcome => {
            let outcome = outcome.inspect(|()| metrics.committed(group.len())).map_err(RecordError::from);
            for submitted in group {
                drop(submitted.committed.send(outcome.clone()));
            }
        }
    }
}
