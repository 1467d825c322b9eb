//! Connections to one database as one user, and the bound on every wait for them.

use super::StoreError;
use crate::config::database::DatabaseConfig;
use crate::config::secret::Secret;
use futures_util::future::join_all;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Added to the server's own statement time-out before we stop waiting: its answer says more than our silence.
const NETWORK_ALLOWANCE: Duration = Duration::from_millis(500);

/// A connection that has been idle for longer is asked whether it still lives before it is used.
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
    connections: PgPool,
    renewed: Renewed,
    options: PgConnectOptions,
    patience: Duration,
    /// Every holder but this one waits for a connection.
    waiting: Arc<()>,
}

impl Pool {
    /// Makes the pool without connecting: the service starts, unready, while the database is away.
    pub(super) fn new(
        url: &Secret,
        connections: u32,
        config: &DatabaseConfig,
        settings: &[(&str, &str)],
    ) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.expose().parse().map_err(StoreError::Url)?;
        let statement_timeout_ms = config.statement_timeout.as_millis().to_string();
        let options =
            options.application_name("cxr-service").options([("statement_timeout", statement_timeout_ms)]);
        let options = options.options(settings.iter().copied());
        // All of them from the start and for good: a request that has to wait for a new connection waits for the server to
        // fork, and does not notice when one of the others becomes free. Not by `min_connections`: for each connection that
        // breaks it holds the place while it tries again, at last once a minute.
        let renewed = Renewed::default();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .idle_timeout(None)
            // One in use a moment ago needs no question whether it still lives: that question costs as much as a small row.
            .test_before_acquire(false)
            .before_acquire({
                let renewed = renewed.clone();
                move |connection, seen| {
                    let fit = renewed.is_fit(seen.age);
                    Box::pin(async move {
                        if !fit {
                            return Ok(false);
                        }
                        if seen.idle_for > QUIET {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                }
            })
            .acquire_timeout(config.acquire_timeout)
            .connect_lazy_with(options.clone());
        let patience = config.statement_timeout + NETWORK_ALLOWANCE;
        let opened = pool.clone();
        tokio::spawn(async move { join_all((0..connections).map(|_| opened.acquire())).await });
        Ok(Self { connections: pool, renewed, options, patience, waiting: Arc::default() })
    }

    /// Does `work` on a connection, within the time that a statement may take.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        self.run_within(self.patience, work).await
    }

    /// Does `work` on a connection, within `patience` of having it.
    pub(super) async fn run_within<T>(
        &self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut connection = self.acquire().await?;
        let Ok(outcome) = tokio::time::timeout(patience, work(&mut connection)).await else {
            // Given up: the next user of it would wait for the old answer.
            connection.close_on_drop();
            return Err(StoreError::Timeout);
        };
        outcome.map_err(StoreError::Statement).inspect_err(|error| {
            if error.code().as_deref() == Some(READ_ONLY) {
                self.renewed.renew();
            }
        })
    }

    /// A connection without that bound.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let _waits = Arc::clone(&self.waiting);
        self.connections.acquire().await.map_err(StoreError::Unavailable)
    }

    /// A connection outside the pool, with settings of its own.
    pub(super) async fn connect(&self, settings: &[(&str, &str)]) -> Result<PgConnection, StoreError> {
        let options = self.options.clone().options(settings.iter().copied());
        let connection = tokio::time::timeout(self.patience, PgConnection::connect_with(&options)).await;
        connection.map_err(|_| StoreError::Timeout)?.map_err(StoreError::Unavailable)
    }

    /// How it is used now.
    pub(super) fn state(&self) -> PoolState {
        PoolState {
            n_open: self.connections.size() as usize,
            n_idle: self.connections.num_idle(),
            n_waiting: Arc::strong_count(&self.waiting) - 1,
        }
    }

    /// How long any answer may take.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
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
