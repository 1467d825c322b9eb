//! Every change of the database runs here and is counted: a trigger or rule can discard rows silently.

use super::StoreError;
use super::session::Session;
use sqlx::postgres::PgArguments;
use sqlx::query::{Query, QueryScalar};
use sqlx::{PgExecutor, Postgres};

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Runs a statement that must change exactly `written` rows of a table.
pub(super) async fn exactly(
    executor: impl PgExecutor<'_>,
    written: u64,
    table: &'static str,
    statement: Statement<'_>,
) -> Result<(), StoreError> {
    counted(table, written, statement.execute(executor).await?.rows_affected())
}

/// Runs a statement and returns how many rows it changed; the caller checks the number.
pub(super) async fn some(executor: impl PgExecutor<'_>, statement: Statement<'_>) -> Result<u64, StoreError> {
    Ok(statement.execute(executor).await?.rows_affected())
}

/// Deletes up to `most` rows and returns how many; if there were fewer, `left` must count none.
pub(super) async fn delete(
    session: &mut Session,
    most: u64,
    table: &'static str,
    statement: Statement<'_>,
    left: QueryScalar<'_, Postgres, i64, PgArguments>,
) -> Result<u64, StoreError> {
    let deleted = some(&mut *session, statement).await?;
    if deleted < most {
        let left = left.fetch_one(session).await? as u64;
        counted(table, deleted + left, deleted)?;
    }
    Ok(deleted)
}

/// Runs a command that changes no rows: a lock, a setting, a table.
pub(super) async fn command(
    executor: impl PgExecutor<'_>,
    statement: Statement<'_>,
) -> Result<(), sqlx::Error> {
    statement.execute(executor).await.map(drop)
}

/// The error for a row that the database did not keep, such as one that a trigger or rule discarded.
pub(super) const fn lost(table: &'static str) -> StoreError {
    StoreError::Rows { table, written: 1, kept: 0 }
}

/// Fails unless the database changed as many rows as it should.
pub(super) const fn counted(table: &'static str, written: u64, kept: u64) -> Result<(), StoreError> {
    if written == kept { Ok(()) } else { Err(StoreError::Rows { table, written, kept }) }
}
