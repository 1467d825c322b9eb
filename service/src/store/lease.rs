//! Leases: a job that one replica at a time may do holds the lease of its name.
//!
//! A lease is a Postgres advisory lock, and it lasts as long as the session that took it. Statements of the
//! job run over that session: if the lease is lost, they fail, and an open transaction never commits.

use super::session::Session;
use super::{Store, StoreError};
use std::time::Duration;

/// Postgres ends the session of a holder that sent nothing for this long.
const MAX_SILENCE: &str = "5s";

/// How often a holder that waits renews its lease.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// Names a job; replicas that use the same name exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseName([u8; 8]);

impl LeaseName {
    /// Extending the tree, and the clean-up that the sequencer does meanwhile.
    pub const SEQUENCER: Self = Self(*b"cxr_tree");
    /// Reading the log for monitoring.
    pub const MONITOR: Self = Self(*b"cxr_moni");

    /// The key of the advisory lock. It must not change: replicas of two releases run at the same time.
    const fn key(self) -> i64 {
        i64::from_be_bytes(self.0)
    }
}

pub struct Contender {
    name: LeaseName,
    session: Session,
    timeout: Duration,
}

/// A lease that this process holds until the value is dropped or a method fails.
pub struct Lease {
    session: Session,
    timeout: Duration,
}

impl Store {
    pub async fn contender(&self, name: LeaseName) -> Result<Contender, StoreError> {
        let settings = ["idle_session_timeout", "idle_in_transaction_session_timeout"];
        let session = self.connect_directly(&settings.map(|name| (name, MAX_SILENCE.to_owned()))).await?;
        Ok(Contender { name, session, timeout: self.timeout })
    }
}

impl Contender {
    /// Takes the lease, or returns the contender if another replica holds it. Ask again within five seconds.
    pub async fn try_acquire(mut self) -> Result<Result<Lease, Self>, StoreError> {
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(self.name.key());
        let acquired = tokio::time::timeout(self.timeout, lock.fetch_one(&mut self.session));
        let acquired: bool = acquired.await.map_err(|_| StoreError::Timeout)??;
        Ok(if acquired { Ok(Lease { session: self.session, timeout: self.timeout }) } else { Err(self) })
    }
}

impl Lease {
    /// Runs statements over the session. After `Timeout` or a broken connection the lease is lost: drop it.
    pub(super) async fn run<T, E: Into<StoreError>>(
        &mut self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let worked = tokio::time::timeout(self.timeout, work(&mut self.session));
        worked.await.map_err(|_| StoreError::Timeout)?.map_err(E::into)
    }

    /// Waits and renews the lease meanwhile.
    pub async fn sleep(&mut self, mut duration: Duration) -> Result<(), StoreError> {
        while let Some(rest) = duration.checked_sub(RENEW_EVERY) {
            tokio::time::sleep(RENEW_EVERY).await;
            self.run(async |session| sqlx::query("SELECT 1").fetch_one(session).await).await?;
            duration = rest;
        }
        tokio::time::sleep(duration).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequencer_excludes_the_one_of_an_older_release() {
        assert_eq!(LeaseName::SEQUENCER.key(), 0x6378_725f_7472_6565);
    }
}
