//! Postgres: the only folder with SQL. Bounds every wait, so that a stalled database delays nobody without end.

mod predictions;
mod schema;
mod shadow;

pub use schema::SchemaState;

use crate::audit::row::{PredictionRow, StoredPrediction};
use crate::config::database::DatabaseConfig;
use crate::shadow::ShadowRow;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool, Postgres};
use std::time::Duration;
use tokio::time::error::Elapsed;
use uuid::Uuid;

/// Added to the server's own statement time-out before we stop waiting: its answer says more than our silence.
const NETWORK_ALLOWANCE: Duration = Duration::from_millis(500);

/// A connection that has been idle for longer is asked whether it still lives before it is used.
const QUIET: Duration = Duration::from_millis(500);

/// Why the database gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL does not parse.
    #[error("service.database.url cannot be used")]
    Url(#[source] sqlx::Error),
    /// No connection within `service.database.acquire_timeout_ms`: nothing was sent.
    #[error("no database connection")]
    Unavailable(#[source] sqlx::Error),
    /// The statement failed. When the connection broke, it may still have taken effect.
    #[error("the database statement failed")]
    Statement(#[source] sqlx::Error),
    /// No answer within `service.database.statement_timeout_ms`: it may still have taken effect.
    #[error("the database did not answer in time")]
    Timeout,
    /// Migrating failed.
    #[error("migrating failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether the database refused the statement for what a row holds: then nothing of it was committed.
    pub fn blames_a_row(&self) -> bool {
        // Classes of SQLSTATE: 22 data exception, 23 integrity constraint violation.
        let Self::Statement(sqlx::Error::Database(refusal)) = self else { return false };
        refusal.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
    }
}

/// A pool of connections.
pub struct Store {
    pool: PgPool,
    patience: Duration,
}

impl Store {
    /// Makes the pool without connecting: the service starts, unready, while the database is away.
    ///
    /// # Errors
    /// When the URL does not parse.
    pub fn new(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let options: PgConnectOptions = config.url.expose().parse().map_err(StoreError::Url)?;
        let statement_timeout_ms = config.statement_timeout.as_millis().to_string();
        let options =
            options.application_name("cxr-service").options([("statement_timeout", statement_timeout_ms)]);
        // All of them from the start and for good: a request that has to wait for a new connection waits for the server to
        // fork, and does not notice when one of the others becomes free.
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .min_connections(config.max_connections)
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
            .connect_lazy_with(options);
        Ok(Self { pool, patience: config.statement_timeout + NETWORK_ALLOWANCE })
    }

    /// Commits rows, all or none of them.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the rows may exist, unless the error blames a row.
    pub async fn insert_predictions(&self, rows: &[&PredictionRow]) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let inserted = tokio::time::timeout(self.patience, predictions::insert(&mut connection, rows)).await;
        settle(connection, inserted)
    }

    /// Commits a candidate's score.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the row may exist.
    pub async fn insert_shadow(&self, row: &ShadowRow) -> Result<(), StoreError> {
        let mut connection = self.acquire().await?;
        let inserted = tokio::time::timeout(self.patience, shadow::insert(&mut connection, row)).await;
        settle(connection, inserted)
    }

    /// The row of that id.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_prediction(&self, id: Uuid) -> Result<Option<StoredPrediction>, StoreError> {
        let mut connection = self.acquire().await?;
        let found = tokio::time::timeout(self.patience, predictions::find(&mut connection, id)).await;
        settle(connection, found)
    }

    /// Whether the database answers and holds the schema that this program needs.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let mut connection = self.acquire().await?;
        let state = tokio::time::timeout(self.patience, schema::state(&mut connection)).await;
        settle(connection, state)
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    /// When one fails; the ones before it stay.
    pub async fn migrate(&self) -> Result<SchemaState, StoreError> {
        let mut connection = self.acquire().await?;
        schema::migrate(&mut connection).await.map_err(StoreError::Migrate)?;
        schema::state(&mut connection).await.map_err(StoreError::Statement)
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(StoreError::Unavailable)
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
