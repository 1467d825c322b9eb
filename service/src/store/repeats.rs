//! The table `idempotency_keys`: its insert is part of the row's own (`predictions.rs`).

use super::{Lease, StoreError, Writer, write};
use crate::audit::repeats::Earlier;
use std::time::Duration;
use uuid::Uuid;

const TABLE: &str = "idempotency_keys";

/// What a second row under one key breaks.
pub(super) const ONCE: &str = "idempotency_keys_pkey";

const FIND: &str = "
SELECT fingerprint, prediction_id, answer, code,
    created_at <= clock_timestamp() - make_interval(secs => $2) AS expired
FROM idempotency_keys WHERE key_digest = $1";

/// Of the row that was found, and no other: another replica may have let go of it already, and have written the key anew.
const FORGET_ONE: &str = "DELETE FROM idempotency_keys WHERE key_digest = $1 AND prediction_id = $2";

const ONE_LEFT: &str = "SELECT count(*) FROM idempotency_keys WHERE key_digest = $1 AND prediction_id = $2";

/// Old keys that are let go of in one statement.
const AT_ONCE: u64 = 5000;

const OLD: &str = "
SELECT key_digest FROM idempotency_keys WHERE created_at <= clock_timestamp() - make_interval(secs => $1)
ORDER BY created_at LIMIT $2";

const FORGET_OLD: &str = "
DELETE FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

const OLD_LEFT: &str = "
SELECT count(*) FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

impl Writer {
    /// The answer kept under an idempotency key; expired if it is older than `kept`.
    pub async fn kept_answer(
        &self,
        key_digest: &[u8; 32],
        kept: Duration,
    ) -> Result<Option<Earlier>, StoreError> {
        let find = sqlx::query_as(FIND).bind(key_digest).bind(kept.as_secs_f64());
        self.pool.run(async |session| find.fetch_optional(session).await).await
    }

    /// Deletes an idempotency key, if it still belongs to that row.
    pub async fn delete_key(&self, key_digest: &[u8; 32], prediction_id: Uuid) -> Result<(), StoreError> {
        let delete = sqlx::query(FORGET_ONE).bind(key_digest).bind(prediction_id);
        let left = sqlx::query_scalar(ONE_LEFT).bind(key_digest).bind(prediction_id);
        self.pool.run(async |session| write::delete(session, 1, TABLE, delete, left).await).await.map(drop)
    }
}

impl Lease {
    /// Deletes idempotency keys older than `kept`, up to 5000 at once; returns whether no older one is left.
    pub async fn delete_old_keys(&mut self, kept: Duration) -> Result<bool, StoreError> {
        let kept_s = kept.as_secs_f64();
        let old = sqlx::query_scalar(OLD).bind(kept_s).bind(AT_ONCE as i64);
        let old: Vec<Vec<u8>> = self.run(async |session| old.fetch_all(session).await).await?;
        if old.is_empty() {
            return Ok(true);
        }
        let n_old = old.len() as u64;
        let delete = sqlx::query(FORGET_OLD).bind(&old).bind(kept_s);
        let left = sqlx::query_scalar(OLD_LEFT).bind(&old).bind(kept_s);
        let deleted = self.run(async |session| write::delete(session, n_old, TABLE, delete, left).await);
        Ok(deleted.await? < AT_ONCE)
    }
}
