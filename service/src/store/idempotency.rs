//! The table `idempotency_keys`. Its insert is part of the row's own (`predictions.rs`).

use super::session::Session;
use super::{StoreError, write};
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

/// Expired keys deleted by one statement.
pub(super) const BATCH: u64 = 5000;

const EXPIRED: &str = "
SELECT key_digest FROM idempotency_keys WHERE created_at <= clock_timestamp() - make_interval(secs => $1)
ORDER BY created_at LIMIT $2";

const DELETE_EXPIRED: &str = "
DELETE FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

const EXPIRED_LEFT: &str = "
SELECT count(*) FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

/// The answer stored under a key; `expired` if it is older than `kept`.
pub(super) async fn find(
    session: &mut Session,
    key_digest: &[u8; 32],
    kept: Duration,
) -> Result<Option<StoredAnswer>, sqlx::Error> {
    sqlx::query_as(FIND).bind(key_digest).bind(kept.as_secs_f64()).fetch_optional(session).await
}

/// Deletes a key that has expired or whose row is gone.
pub(super) async fn delete(
    session: &mut Session,
    key_digest: &[u8; 32],
    prediction_id: Uuid,
) -> Result<(), StoreError> {
    let delete = sqlx::query(DELETE_ONE).bind(key_digest).bind(prediction_id);
    let left = sqlx::query_scalar(ONE_LEFT).bind(key_digest).bind(prediction_id);
    write::delete(session, 1, TABLE, delete, left).await.map(drop)
}

/// Deletes expired keys, the oldest first. Returns how many.
pub(super) async fn delete_expired(session: &mut Session, kept: Duration) -> Result<u64, StoreError> {
    let kept_s = kept.as_secs_f64();
    let expired = sqlx::query_scalar(EXPIRED).bind(kept_s).bind(BATCH as i64);
    let expired: Vec<Vec<u8>> = expired.fetch_all(&mut *session).await?;
    if expired.is_empty() {
        return Ok(0);
    }
    let delete = sqlx::query(DELETE_EXPIRED).bind(&expired).bind(kept_s);
    let left = sqlx::query_scalar(EXPIRED_LEFT).bind(&expired).bind(kept_s);
    write::delete(session, expired.len() as u64, TABLE, delete, left).await
}
