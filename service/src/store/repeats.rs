//! The table `idempotency_keys`: its insert is part of the row's own (`predictions.rs`).

use crate::audit::repeats::Earlier;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// What a second row under one key breaks.
pub(super) const ONCE: &str = "idempotency_keys_pkey";

const FIND: &str = "
SELECT fingerprint, prediction_id, answer,
    created_at <= clock_timestamp() - make_interval(secs => $2) AS expired
FROM idempotency_keys WHERE key_digest = $1";

/// Of the row that was found, and no other: another replica may have let go of it already, and have written the key anew.
const FORGET_ONE: &str = "DELETE FROM idempotency_keys WHERE key_digest = $1 AND prediction_id = $2";

/// Old keys that are let go of in one statement.
pub(super) const AT_ONCE: u64 = 5000;

const FORGET_OLD: &str = "
DELETE FROM idempotency_keys WHERE key_digest IN (
    SELECT key_digest FROM idempotency_keys WHERE created_at <= clock_timestamp() - make_interval(secs => $1)
    ORDER BY created_at LIMIT $2)";

/// What was answered under a key.
pub(super) async fn find(
    connection: &mut PgConnection,
    key_digest: &[u8; 32],
    kept: Duration,
) -> Result<Option<Earlier>, sqlx::Error> {
    sqlx::query_as(FIND).bind(key_digest).bind(kept.as_secs_f64()).fetch_optional(connection).await
}

/// Lets go of a key whose time is over or whose row is gone.
pub(super) async fn forget(
    connection: &mut PgConnection,
    key_digest: &[u8; 32],
    prediction_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(FORGET_ONE).bind(key_digest).bind(prediction_id).execute(connection).await.map(|_| ())
}

/// Lets go of keys whose time is over, the oldest first; how many.
pub(super) async fn forget_old(connection: &mut PgConnection, kept: Duration) -> Result<u64, sqlx::Error> {
    let forgotten =
        sqlx::query(FORGET_OLD).bind(kept.as_secs_f64()).bind(AT_ONCE as i64).execute(connection).await?;
    Ok(forgotten.rows_affected())
}
