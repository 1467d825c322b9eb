//! Blocking work on a volume that may hang, such as a network file system.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};

/// Longest wait for a volume.
pub(crate) const VOLUME_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs one call at a time: each call to a volume that hangs keeps a thread.
pub(super) struct VolumeCall<T> {
    running: Mutex<Option<JoinHandle<T>>>,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum VolumeError {
    #[error("it does not respond")]
    Timeout,
    #[error("our own task failed")]
    Lost(#[from] JoinError),
}

impl<T: Send + 'static> VolumeCall<T> {
    pub(super) fn with_timeout(timeout: Duration) -> Self {
        Self { running: Mutex::default(), timeout }
    }

    /// Runs `work` after an earlier call has ended, whose late result is dropped: it is out of date.
    pub(super) async fn run(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, VolumeError> {
        let mut running = self.running.lock().await;
        if let Some(earlier) = running.as_mut() {
            drop(tokio::time::timeout(self.timeout, earlier).await.map_err(|_| VolumeError::Timeout)?);
            *running = None;
        }
        let called = running.insert(tokio::task::spawn_blocking(work));
        let answer = tokio::time::timeout(self.timeout, called).await.map_err(|_| VolumeError::Timeout)?;
        *running = None;
        Ok(answer?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_call_that_hangs_keeps_one_thread_and_its_late_result_is_not_used() {
        let volume = VolumeCall::with_timeout(Duration::from_millis(100));
        let (release, held) = mpsc::channel::<()>();
        let stuck = volume.run(move || held.recv().map_or(0, |()| 1)).await;
        assert!(matches!(stuck, Err(VolumeError::Timeout)));
        assert!(matches!(volume.run(|| 2).await, Err(VolumeError::Timeout)));
        release.send(()).unwrap();
        assert_eq!(volume.run(|| 3).await.unwrap(), 3);
    }
}
