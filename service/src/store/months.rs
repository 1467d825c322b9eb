//! The monthly partitions of the log: makes them ahead, holds one, drops one whose retention period is over.

use super::session::Session;
use super::{Lease, Store, StoreError, Writer, write};
use sqlx::{Connection, Postgres, Transaction};
use std::time::Duration;
use time::OffsetDateTime;

/// A month of audit rows, which is one table.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Month {
    pub name: String,
    /// The first moment after it.
    pub ends: OffsetDateTime,
    pub held: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropOutcome {
    /// The table is dropped; its leaves and proofs stay.
    Dropped {
        n_rows: u64,
    },
    Waiting {
        n_rows: u64,
    },
    /// Some leaves are not covered by the anchored checkpoint.
    NotAnchored {
        /// Smallest tree size that covers all of them.
        needed: u64,
    },
    /// Some leaves do not bind the row's id, which holds its time: without the row its age cannot be proved.
    Unbound {
        n_rows: u64,
    },
    /// An export or a backup reads the log: waiting for its lock would block every prediction.
    Read,
    Held,
}

/// Longest wait for a lock: inserts queue behind it.
const LOCK_TIMEOUT: &str = "200ms";

/// Attempts to take the lock, and the pause between them.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// The code of `lock_not_available`.
const LOCKED: &str = "55P03";

const EXISTING: &str = "
SELECT name, ends, held FROM predictions_months WHERE dropped_at IS NULL ORDER BY ends";

impl Writer {
    /// Every month that is not dropped, the oldest first.
    pub async fn months(&self) -> Result<Vec<Month>, StoreError> {
        self.pool.run(async |session| sqlx::query_as(EXISTING).fetch_all(session).await).await
    }

    pub async fn is_dropped(&self, moment: OffsetDateTime) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT FROM predictions_months
            WHERE dropped_at IS NOT NULL AND $1 >= starts AND $1 < ends)";
        let asked = sqlx::query_scalar(query).bind(moment);
        self.pool.run(async |session| asked.fetch_one(session).await).await
    }

    /// Puts a month on hold, or releases it without a reason; false if there is no such month.
    pub async fn hold(&self, month: &str, reason: Option<&str>) -> Result<bool, StoreError> {
        self.pool.run(async |session| hold(session, month, reason).await).await
    }
}

impl Store {
    /// Drops a month that is not on hold and whose rows are all in the anchored tree of `anchored` leaves.
    /// After an error nothing was dropped, unless the answer to the commit was lost.
    pub async fn drop_month(&self, month: &str, anchored: u64) -> Result<DropOutcome, StoreError> {
        // Counting the rows of a month takes longer than the statement timeout of requests.
        let mut session = self.connect_directly(&[("statement_timeout", "0".to_owned())]).await?;
        drop_month(&mut session, month, anchored).await
    }
}

impl Lease {
    /// Makes the missing months; returns their names.
    pub async fn make_months(&mut self) -> Result<Vec<String>, StoreError> {
        self.run(async |session| make(session).await).await
    }
}

pub(super) async fn make(session: &mut Session) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT make_months()").fetch_all(session).await
}

async fn hold(session: &mut Session, month: &str, reason: Option<&str>) -> Result<bool, StoreError> {
    let update = "UPDATE predictions_months SET held = $2 WHERE name = $1 AND dropped_at IS NULL";
    let n_held = write::some(&mut *session, sqlx::query(update).bind(month).bind(reason)).await?;
    let held = "SELECT count(*) FROM predictions_months WHERE name = $1 AND dropped_at IS NULL";
    let n_months: i64 = sqlx::query_scalar(held).bind(month).fetch_one(session).await?;
    write::counted("predictions_months", n_months as u64, n_held)?;
    Ok(n_held == 1)
}

async fn drop_month(session: &mut Session, month: &str, anchored: u64) -> Result<DropOutcome, StoreError> {
    let mut transaction = session.transaction().await?;
    // Row lock: a hold set at the same moment is either seen here or finds the month dropped.
    let held: Option<Option<String>> = sqlx::query_scalar(
        "SELECT held FROM predictions_months WHERE name = $1 AND dropped_at IS NULL FOR UPDATE",
    )
    .bind(month)
    .fetch_optional(&mut *transaction)
    .await?;
    if held.flatten().is_some() {
        return Ok(DropOutcome::Held);
    }
    // make_months chose the name; quoted all the same.
    let table = format!("\"{}\"", month.replace('"', "\"\""));
    // From here on no row is added: the rows counted are the rows dropped.
    if !locked(&mut transaction, &format!("LOCK TABLE {table} IN SHARE MODE")).await? {
        return Ok(DropOutcome::Read);
    }
    let (n_rows, n_unbound, n_waiting, needed): (i64, i64, i64, i64) =
        sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT count(*),
                 count(*) FILTER (WHERE encoding_version < 4 OR (leaf_index IS NOT NULL AND row_hash IS NULL)),
                 count(*) FILTER (WHERE encoding_version >= 4 AND leaf_index IS NULL),
                 coalesce(max(leaf_index) + 1, 0)
             FROM {table} LEFT JOIN audit_leaves ON prediction_id = id"
        )))
        .fetch_one(&mut *transaction)
        .await?;
    if n_unbound > 0 {
        return Ok(DropOutcome::Unbound { n_rows: n_unbound as u64 });
    }
    if n_waiting > 0 {
        return Ok(DropOutcome::Waiting { n_rows: n_waiting as u64 });
    }
    if needed as u64 > anchored {
        return Ok(DropOutcome::NotAnchored { needed: needed as u64 });
    }
    if !locked(&mut transaction, "LOCK TABLE predictions IN ACCESS EXCLUSIVE MODE").await? {
        return Ok(DropOutcome::Read);
    }
    let drop_table = sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE {table}")));
    write::command(&mut *transaction, drop_table).await?;
    let dropped =
        "UPDATE predictions_months SET dropped_at = clock_timestamp(), anchored_at = $2 WHERE name = $1";
    let dropped = sqlx::query(dropped).bind(month).bind(anchored as i64);
    write::exactly(&mut *transaction, 1, "predictions_months", dropped).await?;
    transaction.commit().await?;
    Ok(DropOutcome::Dropped { n_rows: n_rows as u64 })
}

/// Takes a lock that would make inserts queue, in short attempts; false if all attempts failed.
async fn locked(transaction: &mut Transaction<'_, Postgres>, statement: &str) -> Result<bool, sqlx::Error> {
    let timeout = format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'");
    write::command(&mut **transaction, sqlx::query(sqlx::AssertSqlSafe(timeout))).await?;
    for _ in 0..TRIES {
        let mut attempt = transaction.begin().await?;
        let lock = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
        match write::command(&mut *attempt, lock).await {
            Ok(()) => return attempt.commit().await.map(|()| true),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOCKED) => {
                attempt.rollback().await?;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
