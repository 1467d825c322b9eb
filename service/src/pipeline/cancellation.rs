//! Cancellation of the work on an image: when its deadline passes or its client disconnects.

use std::time::Instant;
use tokio::sync::watch;

/// Held by the request's handler, which is dropped when the client disconnects.
#[derive(Debug)]
pub struct ClientGuard(#[expect(dead_code, reason = "dropping it signals the disconnect")] watch::Sender<()>);

/// Signals the cancellation to the work on the image.
#[derive(Debug, Clone)]
pub struct Cancellation {
    deadline: Instant,
    client: watch::Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelReason {
    #[error("the deadline passed before the model ran")]
    Expired,
    #[error("the client disconnected before the model ran")]
    Abandoned,
}

impl CancelReason {
    pub const ALL: [Self; 2] = [Self::Expired, Self::Abandoned];

    /// The code in the column `reason`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "deadline_exceeded",
            Self::Abandoned => "client_gone",
        }
    }
}

/// The guard for the handler, and the cancellation for the work.
pub fn cancellation(deadline: Instant) -> (ClientGuard, Cancellation) {
    let (guard, client) = watch::channel(());
    (ClientGuard(guard), Cancellation { deadline, client })
}

impl Cancellation {
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn reason(&self) -> Option<CancelReason> {
        if self.client.has_changed().is_err() {
            Some(CancelReason::Abandoned)
        } else if Instant::now() >= self.deadline {
            Some(CancelReason::Expired)
        } else {
            None
        }
    }

    pub(super) async fn cancelled(self) -> CancelReason {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        tokio::select! {
            () = self.disconnected() => CancelReason::Abandoned,
            () = tokio::time::sleep_until(deadline) => CancelReason::Expired,
        }
    }

    /// Completes when the client disconnects.
    pub(super) async fn disconnected(mut self) {
        // Nothing is ever sent: only dropping the guard wakes this.
        while self.client.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn work_is_cancelled_by_the_deadline_or_the_disconnect() {
        let (client, cancellation) = cancellation(Instant::now() + Duration::from_mins(1));
        assert_eq!(cancellation.reason(), None);
        let end = tokio::spawn(cancellation.clone().cancelled());
        drop(client);
        assert_eq!(end.await.unwrap(), CancelReason::Abandoned);
        assert_eq!(cancellation.reason(), Some(CancelReason::Abandoned));
        let (_client, cancellation) = super::cancellation(Instant::now());
        assert_eq!(cancellation.reason(), Some(CancelReason::Expired));
        assert_eq!(cancellation.cancelled().await, CancelReason::Expired);
    }
}
