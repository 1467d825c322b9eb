//! A pool of connections to one database as one user. Every wait has a timeout.

use super::StoreError;
use super::connect::{ConnectError, Connector};
use super::session::{Session, Settings, shown};
use crate::config::database::DatabaseConfig;
use crate::config::servers::DatabaseUrl;
use deadpool::managed::{
    Manager, Metrics, Object, Pool as Connections, PoolError, RecycleError, RecycleResult,
};
use futures_util::future::join_all;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Added to the server's statement timeout, so that its error arrives before this side stops waiting.
const NETWORK_ALLOWANCE: Duration = Duration::from_millis(500);

/// A connection that was idle for longer is verified before it is used.
const VERIFY_AFTER: Duration = Duration::from_millis(500);

/// SQLSTATE of a write in a session that may only read.
const READ_ONLY: &str = "25006";

/// While the database is read-only, sessions are renewed this often and not for every row.
const RENEW_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    pub n_open: usize,
    pub n_idle: usize,
    pub n_waiting: usize,
}

pub(super) struct Pool {
    connections: Connections<Opener>,
    connector: Arc<Connector>,
    renewed: NotBefore,
    doubted: NotBefore,
    acquire_timeout: Duration,
    timeout: Duration,
    /// Counted by its clones: each caller that waits for a connection holds one.
    waiting: Arc<()>,
}

/// Makes the connections of a pool.
struct Opener {
    connector: Arc<Connector>,
    /// Sessions must be younger: the database was read-only.
    renewed: NotBefore,
    /// Sessions used before this are verified: another one broke, and servers end all of them at once.
    doubted: NotBefore,
    acquire_timeout: Duration,
}

impl Manager for Opener {
    type Type = Session;
    type Error = Arc<ConnectError>;

    async fn create(&self) -> Result<Session, Self::Error> {
        // Shorter than the wait for a connection, so that the waiting caller learns the cause.
        self.connector.connect(&[], Instant::now() + self.acquire_timeout * 9 / 10).await
    }

    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<Self::Error> {
        if !self.renewed.is_fit(session.since.elapsed()) {
            return Err(RecycleError::message("it began on a database that was read-only"));
        }
        // A connection that was in use a moment ago is not verified: that costs as much as inserting a row.
        if (metrics.last_used() > VERIFY_AFTER || !self.doubted.is_fit(metrics.last_used()))
            && let Err(error) = session.verify().await
        {
            return Err(RecycleError::Backend(self.connector.failed(error).await));
        }
        Ok(())
    }
}

/// The settings of a pool's sessions: its own, and the statement timeout.
pub(super) fn settings(config: &DatabaseConfig, overrides: &[(&'static str, &str)]) -> Settings {
    let mut settings: Settings = overrides.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    settings.push(("statement_timeout", shown(config.statement_timeout_ms.duration())));
    settings
}

/// Longest wait for the answer to a statement.
pub(super) fn timeout(config: &DatabaseConfig) -> Duration {
    config.statement_timeout_ms.duration() + NETWORK_ALLOWANCE
}

impl Pool {
    pub(super) fn new(
        url: &DatabaseUrl,
        connections: u32,
        config: &DatabaseConfig,
        overrides: &[(&'static str, &str)],
    ) -> Result<Self, StoreError> {
        let connector = Connector::new(url, config.pooling, settings(config, overrides));
        let connector = Arc::new(connector.map_err(Arc::new)?);
        let (renewed, doubted, acquire_timeout) =
            (NotBefore::default(), NotBefore::default(), config.acquire_timeout_ms.duration());
        let opener = Opener {
            connector: Arc::clone(&connector),
            renewed: renewed.clone(),
            doubted: doubted.clone(),
            acquire_timeout,
        };
        let pool = Connections::builder(opener).max_size(connections as usize).build();
        let pool = pool.map_err(|_| Arc::new(ConnectError::Exhausted))?;
        // All connections are opened at the start and kept. A request that opens one waits for the server to
        // fork, and does not notice when another one becomes free.
        let opened = pool.clone();
        tokio::spawn(async move { join_all((0..connections).map(|_| opened.get())).await });
        let (timeout, waiting) = (timeout(config), Arc::default());
        Ok(Self { connections: pool, connector, renewed, doubted, acquire_timeout, timeout, waiting })
    }

    /// Does `work` on a connection, with the timeout of a statement.
    pub(super) async fn run<T, E: Into<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        self.run_within(self.timeout, work).await
    }

    /// Does `work` on a connection. The timeout begins when the connection is acquired.
    pub(super) async fn run_within<T, E: Into<StoreError>>(
        &self,
        timeout: Duration,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let mut checkout = Checkout(Some(self.acquire().await?));
        let Some(session) = checkout.0.as_deref_mut() else { return Err(StoreError::Timeout) };
        let worked = tokio::time::timeout(timeout, async {
            session.begin().await?;
            let outcome = work(&mut *session).await.map_err(E::into);
            session.end(outcome.is_ok()).await?;
            outcome
        });
        let outcome = worked.await.map_err(|_| StoreError::Timeout)?;
        // The work ended, so no unread answer is left for the next user of the connection.
        if outcome.as_ref().err().is_none_or(StoreError::leaves_a_connection) {
            checkout.give_back();
        } else {
            self.doubted.renew();
        }
        if let Err(error) = &outcome {
            if error.code().as_deref() == Some(READ_ONLY) {
                self.renewed.renew();
            }
            if matches!(error, StoreError::Unavailable(_)) {
                self.connector.require_proof().await;
            }
        }
        outcome
    }

    async fn acquire(&self) -> Result<Object<Opener>, StoreError> {
        let _counted = Arc::clone(&self.waiting);
        let begun = Instant::now();
        let failure = match tokio::time::timeout(self.acquire_timeout, self.connections.get()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(PoolError::Backend(failure))) => failure,
            // No connection became free; the last failed attempt to connect tells why.
            _ => {
                let earlier =
                    self.connector.failure_since(begun.checked_sub(self.acquire_timeout).unwrap_or(begun));
                earlier.unwrap_or_else(|| Arc::new(ConnectError::Exhausted))
            }
        };
        Err(StoreError::Unavailable(failure))
    }

    pub(super) fn state(&self) -> PoolState {
        let status = self.connections.status();
        PoolState {
            n_open: status.size,
            n_idle: status.available,
            n_waiting: Arc::strong_count(&self.waiting) - 1,
        }
    }

    pub(super) async fn connect(&self) -> Result<Session, StoreError> {
        Ok(self.connector.connect(&[], Instant::now() + self.timeout).await?)
    }

    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        join_all(idle.into_iter().map(Session::close)).await;
    }
}

/// A connection in use. Dropped without `give_back`, it is closed: unread answers may be left on it.
struct Checkout(Option<Object<Opener>>);

impl Checkout {
    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// Sessions that began earlier are not used. A session can stay read-only after the database became writable;
/// behind a virtual address, it may belong to a server that has become a standby.
#[derive(Clone, Default)]
struct NotBefore(Arc<Mutex<Option<Instant>>>);

impl NotBefore {
    /// From now on only later sessions are used.
    fn renew(&self) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none_or(|since| since.elapsed() >= RENEW_EVERY) {
            *since = Some(Instant::now());
        }
    }

    fn is_fit(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_none_or(|since| age < since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The features of `sqlx` in Cargo.toml include no TLS; those of `sqlx-core` do.
    #[test]
    fn postgres_can_be_reached_over_tls() {
        assert!(sqlx_core::net::tls::available());
    }

    #[test]
    fn a_renewal_is_for_older_sessions_and_not_at_every_row() {
        let renewed = NotBefore::default();
        assert!(renewed.is_fit(Duration::from_hours(1)));
        renewed.renew();
        let first = *renewed.0.lock().unwrap();
        assert!(!renewed.is_fit(Duration::from_hours(1)) && renewed.is_fit(Duration::ZERO));
        renewed.renew();
        assert_eq!(*renewed.0.lock().unwrap(), first);
    }
}
