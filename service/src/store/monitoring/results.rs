//! The snapshot that every replica exports and serves.

use crate::store::{Lease, StoreError, write};
use monitoring::snapshot::Snapshot;
use sqlx::types::Json;

const STORE: &str = "
INSERT INTO monitoring_results (computed_at, snapshot) VALUES (clock_timestamp(), $1)
ON CONFLICT (only_row) DO UPDATE SET computed_at = excluded.computed_at, snapshot = excluded.snapshot";

impl Lease {
    pub async fn store_results(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let store = sqlx::query(STORE).bind(Json(snapshot));
        self.run(async |session| write::exactly(session, 1, "monitoring_results", store).await).await
    }
}
