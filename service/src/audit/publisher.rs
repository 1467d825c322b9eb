//! Brings signed heads to the anchor, beside the sequencer: a folder that fails or does not answer must not stop the tree.

use super::anchor::{Anchor, AnchorError};
use super::outside::PATIENCE;
use crate::store::SignedHead;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The way to the task that writes.
pub(super) struct Publisher(watch::Sender<Option<SignedHead>>);

impl Publisher {
    /// Starts the task. Call inside a Tokio runtime.
    pub(super) fn start(anchor: Anchor, interval: Duration, metrics: Arc<Metrics>) -> Self {
        let (heads, newest) = watch::channel(None);
        tokio::spawn(Task { anchor, interval, metrics, told: String::new() }.work(newest));
        Self(heads)
    }

    /// From now on this head is the newest.
    pub(super) fn publish(&self, head: &SignedHead) {
        self.0.send_replace(Some(head.clone()));
    }
}

struct Task {
    anchor: Anchor,
    interval: Duration,
    metrics: Arc<Metrics>,
    told: String,
}

impl Task {
    /// Writes the newest head at once and then once an interval, as long as there is a newer one or the last was not written.
    async fn work(mut self, mut newest: watch::Receiver<Option<SignedHead>>) {
        let mut written = 0;
        // A folder that takes nothing is told at the start and not with the first head.
        let anchor = self.anchor.clone();
        self.done(move || anchor.prepare()).await;
        loop {
            let head = newest.borrow_and_update().clone().filter(|head| head.size > written);
            let Some(head) = head else {
                if newest.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if self.write(&head).await {
                written = head.size;
                self.metrics.anchored(written);
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn write(&mut self, head: &SignedHead) -> bool {
        let (anchor, head) = (self.anchor.clone(), head.clone());
        self.done(move || anchor.publish(&head)).await
    }

    /// Whether work on the folder was done, however long it takes.
    async fn done(&mut self, work: impl FnOnce() -> Result<(), AnchorError> + Send + 'static) -> bool {
        let mut writing = tokio::task::spawn_blocking(work);
        // Never a second one beside it: each would keep a thread for as long as the folder does not answer.
        let done = loop {
            match tokio::time::timeout(PATIENCE, &mut writing).await {
                Ok(done) => break done,
                Err(_) => self.tell("it does not respond".to_owned()),
            }
        };
        match done {
            Ok(Ok(())) => {
                self.told.clear();
                return true;
            }
            Ok(Err(error)) => self.tell(chain(&error)),
            Err(lost) => self.tell(chain(&lost)),
        }
        false
    }

    /// Once for each cause: a folder that is away for an hour is one line.
    fn tell(&mut self, cause: String) {
        if self.told != cause {
            tracing::error!(
                cause,
                "writing checkpoints to the anchor failed; retrying, the tree keeps growing"
            );
            self.told = cause;
        }
    }
}
