//! Every statement that changes the database goes through here, and what it changed is counted: a trigger or a rule can swallow rows
//! without an error.

use super::StoreError;
use super::session::Session;
use sqlx::postgres::PgArguments;
use sqlx::query::{Query, QueryScalar};
use sqlx::{PgExecutor, Postgres};

/// A statement with its values.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Runs a statement that must change so many rows of a table.
pub(super) async fn exactly(
    executor: impl PgExecutor<'_>,
    written: u64,
    table: &'static str,
    statement: Statement<'_>,
) -> Result<(), StoreError> {
    counted(table, written, statement.execute(executor).await?.rows_affected())
}

/// Runs a statement that may find that there is nothing to change; how many rows it changed. The caller looks why there are fewer.
pub(super) async fn some(executor: impl PgExecutor<'_>, statement: Statement<'_>) -> Result<u64, StoreError> {
    Ok(statement.execute(executor).await?.rows_affected())
}

/// Deletes up to `most` rows of a table; how many. Where there were fewer, none may be left of those that `left` counts.
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

/// Whether the database changed as many rows as it should.
pub(super) const fn counted(table: &'static str, written: u64, kept: u64) -> Result<(), StoreError> {
    if written == kept { Ok(()) } else { Err(StoreError::Rows { table, written, kept }) }
}
