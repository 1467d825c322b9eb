//! Commits rows in groups. One task owns the waiting rows and asks the policy; each group is committed by a
//! task of its own, so that a slow commit does not delay the next.

use super::RecordError;
use super::group_policy::{CommitStep, GroupPolicy};
use crate::record::SealedRow;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::threads::JobLost;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// A row to commit. Admission bounds their number.
struct Submitted {
    row: Arc<SealedRow>,
    in_flight: usize,
    at: Instant,
    committed: oneshot::Sender<Result<(), RecordError>>,
}

pub(super) struct GroupCommit(UnboundedSender<Submitted>);

impl GroupCommit {
    /// Starts the task in a Tokio runtime. It ends with the last handle, after committing every row.
    pub(super) fn start(policy: GroupPolicy, store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        let (rows, inbox) = unbounded_channel();
        tokio::spawn(Owner { policy, store, metrics, waiting: VecDeque::new(), in_flight: 0 }.work(inbox));
        Self(rows)
    }

    pub(super) async fn commit(&self, row: Arc<SealedRow>, in_flight: usize) -> Result<(), RecordError> {
        let (committed, outcome) = oneshot::channel();
        let submitted = Submitted { row, in_flight, at: Instant::now(), committed };
        self.0.send(submitted).map_err(|_| JobLost)?;
        outcome.await.map_err(|_| JobLost)?
    }
}

struct Owner {
    policy: GroupPolicy,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    waiting: VecDeque<Submitted>,
    /// As counted when the newest row was submitted.
    in_flight: usize,
}

impl Owner {
    async fn work(mut self, mut inbox: UnboundedReceiver<Submitted>) {
        loop {
            let oldest_waited = self.waiting.front().map(|row| row.at.elapsed()).unwrap_or_default();
            let submitted = match self.policy.next(self.waiting.len(), oldest_waited, self.in_flight) {
                CommitStep::Commit(n) => {
                    self.commit_oldest(n);
                    continue;
                }
                CommitStep::Wait(left) => match tokio::time::timeout(left, inbox.recv()).await {
                    Ok(submitted) => submitted,
                    Err(_) => continue,
                },
                CommitStep::Idle => inbox.recv().await,
            };
            let Some(submitted) = submitted else { break };
            self.take(submitted);
            while let Ok(submitted) = inbox.try_recv() {
                self.take(submitted);
            }
        }
        self.commit_oldest(self.waiting.len());
    }

    fn take(&mut self, submitted: Submitted) {
        self.in_flight = submitted.in_flight;
        self.waiting.push_back(submitted);
    }

    fn commit_oldest(&mut self, n: usize) {
        let group: Vec<Submitted> = self.waiting.drain(..n).collect();
        if !group.is_empty() {
            let (store, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
            tokio::spawn(async move { commit(&store, &metrics, group).await });
        }
    }
}

/// Commits a group. If a row's content is refused, none is committed; then each row is committed alone.
async fn commit(store: &Store, metrics: &Metrics, group: Vec<Submitted>) {
    let rows: Vec<&SealedRow> = group.iter().map(|submitted| &*submitted.row).collect();
    match store.writer.insert_predictions(&rows).await {
        Err(error) if group.len() > 1 && error.blames_a_row() => {
            for Submitted { row, committed, .. } in group {
                let inserted = store.writer.insert_predictions(&[&row]).await;
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
