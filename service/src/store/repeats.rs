//! The table `idempotency_keys`: its insert is part of the row's own (`predictions.rs`).

use super::session::Session;
use super::{StoreError, write};
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
pub(super) const AT_ONCE: u64 = 5000;

const OLD: &str = "
SELECT key_digest FROM idempotency_keys WHERE created_at <= clock_timestamp() - make_interval(secs => $1)
ORDER BY created_at LIMIT $2";

const FORGET_OLD: &str = "
DELETE FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

const OLD_LEFT: &str = "
SELECT count(*) FROM idempotency_keys
WHERE key_digest = ANY ($1) AND created_at <= clock_timestamp() - make_interval(secs => $2)";

/// What was answered under a key.
pub(super) async fn find(
    session: &mut Session,
    key_digest: &[u8; 32],
    kept: Duration,
) -> Result<Option<Earlier>, sqlx::Error> {
    sqlx::query_as(FIND).bind(key_digest).bind(kept.as_secs_f64()).fetch_optional(session).await
}

/// Lets go of a key whose time is over or whose row is gone.
pub(super) async fn forget(
    session: &mut Session,
    key_digest: &[u8; 32],
    prediction_id: Uuid,
) -> Result<(), StoreError> {
    let forget = sqlx::query(FORGET_ONE).bind(key_digest).bind(prediction_id);
    let left = sqlx::query_scalar(ONE_LEFT).bind(key_digest).bind(prediction_id);
    write::delete(session, 1, TABLE, forget, left).await.map(drop)
}

/// Lets go of keys whose time is over, the oldest first; how many.
pub(super) async fn forget_old(session: &mut Session, kept: Duration) -> Result<u64, StoreError> {
    let kept_s = kept.as_secs_f64();
    let old = sqlx::query_scalar(OLD).bind(kept_s).bind(AT_ONCE as i64);
    let old: Vec<Vec<u8>> = old.fetch_all(&mut *session).await?;
    if old.is_empty() {
        return Ok(0);
    }
    let forget = sqlx::query(FORGET_OLD).bind(&old).bind(kept_s);
    let left = sqlx::query_scalar(OLD_LEFT).bind(&old).bind(kept_s);
    write::delete(session, old.len() as u64, TABLE, forget, left).await
}
