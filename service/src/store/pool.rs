//! Connections to one database as one user, and the bound on every wait for them.

use super::StoreError;
use crate::config::database::DatabaseConfig;
use crate::config::secret::Secret;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use std::time::Duration;
use tokio::time::error::Elapsed;

/// Added to the server's own statement time-out before we stop waiting: its answer says more than our silence.
const NETWORK_ALLOWANCE: Duration = Duration::from_millis(500);

/// A connection that has been idle for longer is asked whether it still lives before it is used.
const QUIET: Duration = Duration::from_millis(500);

/// A pool of connections.
pub(super) struct Pool {
    connections: PgPool,
    options: PgConnectOptions,
    patience: Duration,
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
        // fork, and does not notice when one of the others becomes free.
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections)
            .idle_timeout(None)
            // One in use a moment ago needs no question whether it still lives: that question costs as much as a small row.
            .test_before_acquire(false)
            .before_acquire(|connection, seen| {
                Box::pin(async move {
                    if seen.idle_for > QUIET {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .acquire_timeout(config.acquire_timeout)
            .connect_lazy_with(options.clone());
        Ok(Self { connections: pool, options, patience: config.statement_timeout + NETWORK_ALLOWANCE })
    }

    /// Does `work` on a connection, within the time that a statement may take.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut connection = self.acquire().await?;
        let outcome = tokio::time::timeout(self.patience, work(&mut connection)).await;
        settle(connection, outcome)
    }

    /// A connection without that bound.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.connections.acquire().await.map_err(StoreError::Unavailable)
    }

    /// A connection outside the pool, with settings of its own.
    pub(super) async fn connect(&self, settings: &[(&str, &str)]) -> Result<PgConnection, StoreError> {
        let options = self.options.clone().options(settings.iter().copied());
        let connection = tokio::time::timeout(self.patience, PgConnection::connect_with(&options)).await;
        connection.map_err(|_| StoreError::Timeout)?.map_err(StoreError::Unavailable)
    }

    /// How long any answer may take.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}

/// A connection that did not answer is given up: the next user of it would wait for the old answer.
fn settle<T>(
    mut connection: PoolConnection<Postgres>,
    outcome: Result<Result<T, sqlx::Error>, Elapsed>,
) -> Result<T, StoreError> {
    if outcome.is_err() {
        connection.close_on_drop();
    }
    outcome.map_err(|_| StoreError::Timeout)?.map_err(StoreError::Statement)
}
