//! The snapshot that every replica exports and serves.

use crate::store::{Lease, Reader, StoreError, write};
use monitoring::snapshot::Snapshot;
use sqlx::types::Json;
use time::OffsetDateTime;

#[derive(Debug, Clone)]
pub struct StoredResults {
    pub computed_at: OffsetDateTime,
    pub snapshot: Snapshot,
}

const STORE: &str = "
INSERT INTO monitoring_results (computed_at, snapshot) VALUES (clock_timestamp(), $1)
ON CONFLICT (only_row) DO UPDATE SET computed_at = excluded.computed_at, snapshot = excluded.snapshot";

impl Lease {
    pub async fn store_results(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let store = sqlx::query(STORE).bind(Json(snapshot));
        self.run(async |session| write::exactly(session, 1, "monitoring_results", store).await).await
    }
}

impl Reader {
    /// The newest snapshot; none before the first one.
    pub async fn monitoring_results(&self) -> Result<Option<StoredResults>, StoreError> {
        let query = sqlx::query_as("SELECT computed_at, snapshot FROM monitoring_results");
        let found: Option<(OffsetDateTime, Json<Snapshot>)> =
            self.0.run(async |session| query.fetch_optional(session).await).await?;
        Ok(found.map(|(computed_at, Json(snapshot))| StoredResults { computed_at, snapshot }))
    }
}
