//! The table `idempotency_keys`. Its insert is part of the row's own (`predictions.rs`).

use super::{Lease, StoreError, Writer, write};
use crate::record::idempotency::StoredAnswer;
use std::time::Duration;
use uuid::Uuid;

const TABLE: &str = "idempotency_keys";

/// The constraint that a second row under one key violates.
pub(super) const ONCE: &str = "idempotency_keys_pkey";

const FIND: &str = "
SELECT fingerprint, prediction_id, answer, code,
    created_at <= clock_timestamp() - make_interval(secs => $2) AS expired
FROM idempotency_keys WHERE key_digest = $1";

/// Names the row as well: another replica may have deleted the key already and stored it for a newer row.
const DELETE_ONE: &str = "DELETE FROM idempotency_keys WHERE key_digest = $1 AND prediction_id = $2";

const ONE_LEFT: &str = "SELECT count(*) FROM idempotency_keys WHERE key_digest = $1 AND prediction_id = $2";

const BATCH: u64 = 5000;

const EXPIRED: &str = "
SELECT key_digest FROM idempotency_keys WHERE created_at <= clock_timestamp() - make_interval(secs => $1)
ORDER BY created_at LIMIT $2";

const DELETE_EXPIRED: &str = "
DELETE FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

const EXPIRED_LEFT: &str = "
SELECT count(*) FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

impl Writer {
    /// The answer stored under an idempotency key; `expired` if it is older than `kept`.
    pub async fn stored_answer(
        &self,
        key_digest: &[u8; 32],
        kept: Duration,
    ) -> Result<Option<StoredAnswer>, StoreError> {
        let find = sqlx::query_as(FIND).bind(key_digest).bind(kept.as_secs_f64());
        self.pool.run(async |session| find.fetch_optional(session).await).await
    }

    /// Deletes an idempotency key if it still belongs to that row.
    pub async fn delete_key(&self, key_digest: &[u8; 32], prediction_id: Uuid) -> Result<(), StoreError> {
        let delete = sqlx::query(DELETE_ONE).bind(key_digest).bind(prediction_id);
        let left = sqlx::query_scalar(ONE_LEFT).bind(key_digest).bind(prediction_id);
        self.pool.run(async |session| write::delete(session, 1, TABLE, delete, left).await).await.map(drop)
    }
}

impl Lease {
    /// Deletes keys older than `kept`, the oldest first and a batch at a time. Returns whether none is left.
    pub async fn delete_expired_keys(&mut self, kept: Duration) -> Result<bool, StoreError> {
        let kept_s = kept.as_secs_f64();
        let expired = sqlx::query_scalar(EXPIRED).bind(kept_s).bind(BATCH as i64);
        let expired: Vec<Vec<u8>> = self.run(async |session| expired.fetch_all(session).await).await?;
        if expired.is_empty() {
            return Ok(true);
        }
        let n_expired = expired.len() as u64;
        let delete = sqlx::query(DELETE_EXPIRED).bind(&expired).bind(kept_s);
        let left = sqlx::query_scalar(EXPIRED_LEFT).bind(&expired).bind(kept_s);
        let deleted = self.run(async |session| write::delete(session, n_expired, TABLE, delete, left).await);
        Ok(deleted.await? < BATCH)
    }
}
