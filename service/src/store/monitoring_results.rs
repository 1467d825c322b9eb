//! The table `monitoring_results`: what the leader computed, as every replica reads it.

use super::{Reader, StoreError};
use serde_json::Value;
use time::OffsetDateTime;

/// How far monitoring is, and its newest result.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StoredResults {
    /// Leaves before this one were read.
    next_leaf: i64,
    /// Leaves of the tree.
    n_leaves: i64,
    /// When the newest row that was read was received.
    pub newest_row_at: Option<OffsetDateTime>,
    /// When the leader last committed a step.
    pub stepped_at: OffsetDateTime,
    /// When the result was computed; `None` without one.
    pub computed_at: Option<OffsetDateTime>,
    /// The result, unless it is the one that the caller knows.
    pub snapshot: Option<Value>,
}

impl StoredResults {
    /// Leaves that were not read yet.
    pub fn n_rows_behind(&self) -> u64 {
        u64::try_from(self.n_leaves - self.next_leaf).unwrap_or_default()
    }
}

const READ: &str = "
SELECT next_leaf, (SELECT coalesce(max(leaf_index) + 1, 0) FROM audit_leaves) AS n_leaves, newest_row_at, stepped_at,
    computed_at, CASE WHEN computed_at IS DISTINCT FROM $1 THEN snapshot END AS snapshot
FROM monitoring_cursor LEFT JOIN monitoring_results ON true";

impl Reader {
    /// The results, without the snapshot if it was computed at `known`.
    pub async fn monitoring_results(
        &self,
        known: Option<OffsetDateTime>,
    ) -> Result<StoredResults, StoreError> {
        let read = sqlx::query_as(READ).bind(known);
        self.0.run(async |session| read.fetch_one(session).await).await
    }
}
