//! Writes checkpoints to the anchor in its own task: a failing or hanging volume must not stop the tree.

use super::anchor::{Anchor, AnchorError};
use super::volume::VOLUME_TIMEOUT;
use crate::store::SignedCheckpoint;
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(super) struct Publisher(watch::Sender<Option<SignedCheckpoint>>);

impl Publisher {
    /// Call inside a Tokio runtime.
    pub(super) fn start(anchor: Anchor, interval: Duration, metrics: Arc<Metrics>) -> Self {
        let (publisher, newest) = watch::channel(None);
        tokio::spawn(Task { anchor, interval, metrics, logged: String::new() }.work(newest));
        Self(publisher)
    }

    /// Hands over the newest checkpoint; one that is not written yet is replaced.
    pub(super) fn publish(&self, checkpoint: &SignedCheckpoint) {
        self.0.send_replace(Some(checkpoint.clone()));
    }
}

struct Task {
    anchor: Anchor,
    interval: Duration,
    metrics: Arc<Metrics>,
    logged: String,
}

impl Task {
    /// Writes the newest checkpoint at once, then at most one per interval. A failed write is tried again.
    async fn work(mut self, mut newest: watch::Receiver<Option<SignedCheckpoint>>) {
        let mut written = 0;
        // Logs an unusable folder at the start and not with the first checkpoint.
        let anchor = self.anchor.clone();
        self.done(move || anchor.prepare()).await;
        loop {
            let newer = newest.borrow_and_update().clone().filter(|newest| newest.size > written);
            let Some(checkpoint) = newer else {
                if newest.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let (anchor, size) = (self.anchor.clone(), checkpoint.size);
            if self.done(move || anchor.publish(&checkpoint)).await {
                written = size;
                self.metrics.anchored(written);
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Runs work on the folder to its end; returns whether it succeeded.
    async fn done(&mut self, work: impl FnOnce() -> Result<(), AnchorError> + Send + 'static) -> bool {
        let mut writing = tokio::task::spawn_blocking(work);
        // Waits however long it takes: a second call would keep another thread while the volume hangs.
        let done = loop {
            match tokio::time::timeout(VOLUME_TIMEOUT, &mut writing).await {
                Ok(done) => break done,
                Err(_) => self.log("it does not respond".to_owned()),
            }
        };
        match done {
            Ok(Ok(())) => {
                self.logged.clear();
                return true;
            }
            Ok(Err(error)) => self.log(chain(&error)),
            Err(lost) => self.log(chain(&lost)),
        }
        false
    }

    /// Logs each cause once: a folder that is missing for an hour is one line.
    fn log(&mut self, cause: String) {
        if self.logged != cause {
            tracing::error!(cause, "writing checkpoints to the anchor failed; retrying, the tree grows on");
            self.logged = cause;
        }
    }
}
