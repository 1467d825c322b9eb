//! How long somebody waits for an image: until its deadline, and while its client is there.

use std::time::Instant;
use tokio::sync::watch;

/// Held by the request's handler; when the client hangs up the handler is dropped, and this with it.
#[derive(Debug)]
pub struct ClientGuard(#[expect(dead_code, reason = "its end is what it says")] watch::Sender<()>);

/// The other end, and the deadline.
#[derive(Debug, Clone)]
pub struct Cancellation {
    deadline: Instant,
    client: watch::Receiver<()>,
}

/// Why nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelReason {
    /// The deadline passed before the model ran.
    #[error("the deadline passed before the model ran")]
    Expired,
    /// The client went away before the model ran.
    #[error("the client went away before the model ran")]
    Abandoned,
}

impl CancelReason {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Expired, Self::Abandoned];

    /// The code in the column `reason`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "deadline_exceeded",
            Self::Abandoned => "client_gone",
        }
    }
}

/// Both ends.
pub fn until(deadline: Instant) -> (ClientGuard, Cancellation) {
    let (here, client) = watch::channel(());
    (ClientGuard(here), Cancellation { deadline, client })
}

impl Cancellation {
    /// The moment.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether it has ended, and why.
    pub(super) fn ended(&self) -> Option<CancelReason> {
        if self.client.has_changed().is_err() {
            Some(CancelReason::Abandoned)
        } else if Instant::now() >= self.deadline {
            Some(CancelReason::Expired)
        } else {
            None
        }
    }

    /// Completes when it ends, with the reason.
    pub(super) async fn end(self) -> CancelReason {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        tokio::select! {
            () = self.gone() => CancelReason::Abandoned,
            () = tokio::time::sleep_until(deadline) => CancelReason::Expired,
        }
    }

    /// Completes when the client is gone.
    pub(super) async fn gone(mut self) {
        // Nothing is ever sent: only the end of the other side can wake this.
        while self.client.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_ends_with_the_deadline_or_with_the_client() {
        let (here, cancellation) = until(Instant::now() + Duration::from_mins(1));
        assert_eq!(cancellation.ended(), None);
        let end = tokio::spawn(cancellation.clone().end());
        drop(here);
        assert_eq!(end.await.unwrap(), CancelReason::Abandoned);
        assert_eq!(cancellation.ended(), Some(CancelReason::Abandoned));
        let (_here, cancellation) = until(Instant::now());
        assert_eq!(cancellation.ended(), Some(CancelReason::Expired));
        assert_eq!(cancellation.end().await, CancelReason::Expired);
    }
}
