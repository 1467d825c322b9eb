//! The months of the log, for whoever owns it: which there are, which are held, and dropping one whose time is over.

use super::session::Session;
use super::{Store, StoreError, write};
use sqlx::{Connection, Postgres, Transaction};
use std::time::Duration;
use time::OffsetDateTime;

/// A month that has its table.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Month {
    /// Name of the table.
    pub name: String,
    /// The first moment after it.
    pub ends: OffsetDateTime,
    /// Who holds it and why.
    pub held: Option<String>,
}

/// What became of a month that should be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropping {
    /// It is gone; its leaves and proofs stay.
    Dropped {
        /// Its rows.
        n_rows: u64,
    },
    /// Rows of it wait for their place in the tree.
    Waiting {
        /// How many.
        n_rows: u64,
    },
    /// Leaves of it are not under the anchored checkpoint yet.
    NotAnchored {
        /// Leaves that the tree must have for it.
        needed: u64,
    },
    /// Rows of it have no leaf that binds their id: without the rows nobody could tell how old they were.
    Unbound {
        /// How many.
        n_rows: u64,
    },
    /// Somebody reads the log, an export or a backup: waiting for them would stop every prediction.
    Read,
    /// Somebody holds it.
    Held,
}

/// How long a lock may be waited for: as long as it is, rows wait behind it.
const LOCK_TIMEOUT: &str = "200ms";

/// How often the lock is tried, and the pause between.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// The code of `lock_not_available`.
const LOCKED: &str = "55P03";

const EXISTING: &str = "
SELECT name, ends, held FROM predictions_months WHERE dropped_at IS NULL ORDER BY ends";

impl Store {
    /// Every month that has its table, the oldest first.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn months(&self) -> Result<Vec<Month>, StoreError> {
        self.writer.run(async |connection| sqlx::query_as(EXISTING).fetch_all(connection).await).await
    }

    /// Whether the month of a moment was dropped.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn is_dropped(&self, moment: OffsetDateTime) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT FROM predictions_months
            WHERE dropped_at IS NOT NULL AND $1 >= starts AND $1 < ends)";
        let asked = sqlx::query_scalar(query).bind(moment);
        self.writer.run(async |connection| asked.fetch_one(connection).await).await
    }

    /// Holds a month, or lets it go; whether there is such a month.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn hold(&self, month: &str, reason: Option<&str>) -> Result<bool, StoreError> {
        self.writer.run(async |session| hold(session, month, reason).await).await
    }

    /// Drops a month when all of its rows are under an anchored tree of `anchored` leaves and nobody holds it.
    ///
    /// # Errors
    /// When the database gives no answer; then nothing is dropped, unless the answer to the commit was lost.
    pub async fn drop_month(&self, month: &str, anchored: u64) -> Result<Dropping, StoreError> {
        // Counting a month takes longer than any request may.
        let mut session = self.connect_directly(&[("statement_timeout", "0".to_owned())]).await?;
        drop_month(&mut session, month, anchored).await
    }
}

/// Makes the months that are missing; which.
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

async fn drop_month(session: &mut Session, month: &str, anchored: u64) -> Result<Dropping, StoreError> {
    let mut transaction = session.transaction().await?;
    // Locked: who sets a hold at the same moment is either seen here or finds the month gone.
    let held: Option<Option<String>> = sqlx::query_scalar(
        "SELECT held FROM predictions_months WHERE name = $1 AND dropped_at IS NULL FOR UPDATE",
    )
    .bind(month)
    .fetch_optional(&mut *transaction)
    .await?;
    if held.flatten().is_some() {
        return Ok(Dropping::Held);
    }
    // The table's name comes from the months that make_months made; quoted all the same.
    let table = format!("\"{}\"", month.replace('"', "\"\""));
    // From here on no row comes to this month: what is counted is what is dropped.
    if !locked(&mut transaction, &format!("LOCK TABLE {table} IN SHARE MODE")).await? {
        return Ok(Dropping::Read);
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
        return Ok(Dropping::Unbound { n_rows: n_unbound as u64 });
    }
    if n_waiting > 0 {
        return Ok(Dropping::Waiting { n_rows: n_waiting as u64 });
    }
    if needed as u64 > anchored {
        return Ok(Dropping::NotAnchored { needed: needed as u64 });
    }
    if !locked(&mut transaction, "LOCK TABLE predictions IN ACCESS EXCLUSIVE MODE").await? {
        return Ok(Dropping::Read);
    }
    let drop_table = sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE {table}")));
    write::command(&mut *transaction, drop_table).await?;
    let dropped =
        "UPDATE predictions_months SET dropped_at = clock_timestamp(), anchored_at = $2 WHERE name = $1";
    let dropped = sqlx::query(dropped).bind(month).bind(anchored as i64);
    write::exactly(&mut *transaction, 1, "predictions_months", dropped).await?;
    transaction.commit().await?;
    Ok(Dropping::Dropped { n_rows: n_rows as u64 })
}

/// Takes a lock that everything else would queue behind, in short tries.
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
