//! Files outside the database, on a volume that may not answer.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};

/// After which time a file counts as one that does not answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// Work on such a file: never two at a time, for each would keep a thread as long as the volume does not answer.
pub(super) struct Outside<T> {
    under_way: Mutex<Option<JoinHandle<T>>>,
    patience: Duration,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutsideError {
    /// Nothing came in time.
    #[error("it does not respond")]
    Silent,
    /// Our own task failed.
    #[error("our own task failed")]
    Lost(#[from] JoinError),
}

impl<T: Send + 'static> Outside<T> {
    pub(super) fn within(patience: Duration) -> Self {
        Self { under_way: Mutex::default(), patience }
    }

    /// What `work` returns, unless that or earlier work does not end in time. What earlier work returned late is not given: it is old.
    pub(super) async fn ask(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, OutsideError> {
        let mut under_way = self.under_way.lock().await;
        if let Some(earlier) = under_way.as_mut() {
            drop(tokio::time::timeout(self.patience, earlier).await.map_err(|_| OutsideError::Silent)?);
            *under_way = None;
        }
        let asked = under_way.insert(tokio::task::spawn_blocking(work));
        let answer = tokio::time::timeout(self.patience, asked).await.map_err(|_| OutsideError::Silent)?;
        *under_way = None;
        Ok(answer?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_does_not_answer_keeps_one_thread_and_its_late_answer_is_not_used() {
        let outside = Outside::within(Duration::from_millis(100));
        let (release, held) = mpsc::channel::<()>();
        let stuck = outside.ask(move || held.recv().map_or(0, |()| 1)).await;
        assert!(matches!(stuck, Err(OutsideError::Silent)));
        assert!(matches!(outside.ask(|| 2).await, Err(OutsideError::Silent)));
        release.send(()).unwrap();
        assert_eq!(outside.ask(|| 3).await.unwrap(), 3);
    }
}
