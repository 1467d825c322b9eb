//! Connections to one database as one user, and the bound on every wait for them.

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

/// Added to the server's own statement time-out before we stop waiting: its answer says more than our silence.
const NETWORK_ALLOWANCE: Duration = Duration::from_millis(500);

/// A connection that has been idle for longer is asked whether it still lives, and is what it was, before it is used.
const QUIET: Duration = Duration::from_millis(500);

/// SQLSTATE of a write in a session that may only read.
const READ_ONLY: &str = "25006";

/// A database that is read-only gets new sessions this often, not for every row.
const RENEWAL: Duration = Duration::from_secs(1);

/// How a pool is used at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Connections that are open.
    pub n_open: usize,
    /// Of these, those that nobody uses.
    pub n_idle: usize,
    /// Who waits for one.
    pub n_waiting: usize,
}

/// A pool of connections.
pub(super) struct Pool {
    connections: Connections<Opener>,
    login: Arc<Connector>,
    renewed: Renewed,
    doubted: Renewed,
    acquire_timeout: Duration,
    patience: Duration,
    /// Every holder but this one waits for a connection.
    waiting: Arc<()>,
}

/// Makes the connections of a pool.
struct Opener {
    login: Arc<Connector>,
    renewed: Renewed,
    /// Since when connections are asked because another one broke: servers end all of them at once.
    doubted: Renewed,
    acquire_timeout: Duration,
}

impl Manager for Opener {
    type Type = Session;
    type Error = Arc<ConnectError>;

    async fn create(&self) -> Result<Session, Self::Error> {
        // Sooner than whoever waits gives up: then the reason is known.
        self.login.connect(Instant::now() + self.acquire_timeout * 9 / 10).await
    }

    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<Self::Error> {
        if !self.renewed.is_fit(session.since.elapsed()) {
            return Err(RecycleError::message("it began on a database that was read-only"));
        }
        // One in use a moment ago is not asked: the question costs as much as a small row.
        if (metrics.last_used() > QUIET || !self.doubted.is_fit(metrics.last_used()))
            && let Err(error) = session.verify().await
        {
            return Err(RecycleError::Backend(self.login.failed(error).await));
        }
        Ok(())
    }
}

/// The settings that every connection has, and those of a pool.
pub(super) fn settings(config: &DatabaseConfig, of_the_pool: &[(&'static str, &str)]) -> Settings {
    let mut settings: Settings =
        of_the_pool.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    settings.push(("statement_timeout", shown(config.statement_timeout_ms.duration())));
    settings
}

/// How long any answer may take.
pub(super) fn patience(config: &DatabaseConfig) -> Duration {
    config.statement_timeout_ms.duration() + NETWORK_ALLOWANCE
}

impl Pool {
    /// Makes the pool without connecting: the service starts, unready, while the database is away.
    pub(super) fn new(
        url: &DatabaseUrl,
        connections: u32,
        config: &DatabaseConfig,
        of_the_pool: &[(&'static str, &str)],
    ) -> Result<Self, StoreError> {
        let login = Connector::new(url, config.pooling, settings(config, of_the_pool));
        let login = Arc::new(login.map_err(Arc::new)?);
        let (renewed, doubted, acquire_timeout) =
            (Renewed::default(), Renewed::default(), config.acquire_timeout_ms.duration());
        let opener = Opener {
            login: Arc::clone(&login),
            renewed: renewed.clone(),
            doubted: doubted.clone(),
            acquire_timeout,
        };
        let pool = Connections::builder(opener).max_size(connections as usize).build();
        let pool = pool.map_err(|_| Arc::new(ConnectError::Exhausted))?;
        // All of them from the start and for good: a request that has to wait for a new connection waits for the server to
        // fork, and does not notice when one of the others becomes free.
        let opened = pool.clone();
        tokio::spawn(async move { join_all((0..connections).map(|_| opened.get())).await });
        let patience = patience(config);
        Ok(Self {
            connections: pool,
            login,
            renewed,
            doubted,
            acquire_timeout,
            patience,
            waiting: Arc::default(),
        })
    }

    /// Does `work` on a connection, within the time that a statement may take.
    pub(super) async fn run<T, E: Into<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        self.run_within(self.patience, work).await
    }

    /// Does `work` on a connection, within `patience` of having it.
    pub(super) async fn run_within<T, E: Into<StoreError>>(
        &self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let mut lease = Lease(Some(self.acquire().await?));
        let Some(session) = lease.0.as_deref_mut() else { return Err(StoreError::Timeout) };
        let worked = tokio::time::timeout(patience, async {
            session.begin().await?;
            let outcome = work(&mut *session).await.map_err(E::into);
            session.end(outcome.is_ok()).await?;
            outcome
        });
        let outcome = worked.await.map_err(|_| StoreError::Timeout)?;
        // It ended: the next user finds no answer that is not his.
        if outcome.as_ref().err().is_none_or(StoreError::leaves_a_connection) {
            lease.give_back();
        } else {
            self.doubted.renew();
        }
        if let Err(error) = &outcome {
            if error.code().as_deref() == Some(READ_ONLY) {
                self.renewed.renew();
            }
            if matches!(error, StoreError::Unavailable(_)) {
                self.login.prove_again().await;
            }
        }
        outcome
    }

    async fn acquire(&self) -> Result<Object<Opener>, StoreError> {
        let _waits = Arc::clone(&self.waiting);
        let begun = Instant::now();
        let failure = match tokio::time::timeout(self.acquire_timeout, self.connections.get()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(PoolError::Backend(failure))) => failure,
            // The wait was in vain because connecting was, for somebody else as well.
            _ => {
                let earlier =
                    self.login.failure_since(begun.checked_sub(self.acquire_timeout).unwrap_or(begun));
                earlier.unwrap_or_else(|| Arc::new(ConnectError::Exhausted))
            }
        };
        Err(StoreError::Unavailable(failure))
    }

    /// How it is used now.
    pub(super) fn state(&self) -> PoolState {
        let status = self.connections.status();
        PoolState {
            n_open: status.size,
            n_idle: status.available,
            n_waiting: Arc::strong_count(&self.waiting) - 1,
        }
    }

    /// A connection outside the pool.
    pub(super) async fn connect(&self) -> Result<Session, StoreError> {
        Ok(self.login.connect(Instant::now() + self.patience).await?)
    }

    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        join_all(idle.into_iter().map(Session::close)).await;
    }
}

/// A connection on loan. Unless it is given back it is thrown away: work that was given up leaves answers behind that nobody has read.
struct Lease(Option<Object<Opener>>);

impl Lease {
    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// Since when sessions count. A session that began on a database that was read-only can stay so after the database no longer is;
/// behind an address that moves, it is one with a server that has become a standby.
#[derive(Clone, Default)]
struct Renewed(Arc<Mutex<Option<Instant>>>);

impl Renewed {
    /// From now on only sessions that begin later.
    fn renew(&self) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none_or(|since| since.elapsed() >= RENEWAL) {
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

    /// `sqlx` alone, as Cargo.toml names it, has none.
    #[test]
    fn postgres_can_be_reached_over_tls() {
        assert!(sqlx_core::net::tls::available());
    }

    #[test]
    fn a_renewal_is_for_older_sessions_and_not_at_every_row() {
        let renewed = Renewed::default();
        assert!(renewed.is_fit(Duration::from_hours(1)));
        renewed.renew();
        let first = *renewed.0.lock().unwrap();
        assert!(!renewed.is_fit(Duration::from_hours(1)) && renewed.is_fit(Duration::ZERO));
        renewed.renew();
        assert_eq!(*renewed.0.lock().unwrap(), first);
    }
}
