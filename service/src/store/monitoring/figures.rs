//! What the figures need beyond what the job keeps in memory.

use super::alarms::{ALARMS, MOST_ALARMS, StoredAlarm};
use super::labels;
use crate::store::session::Session;
use crate::store::{Lease, StoreError};
use monitoring::observation::LabelledObservation;
use monitoring::performance::cohort::Drawn;
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// An approved baseline as the snapshot shows it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Approval {
    pub baseline_id: Uuid,
    pub approved_at: OffsetDateTime,
}

/// Drawn images beyond this many are not counted one by one.
const MOST_DRAWN: i64 = 20_000;

impl Lease {
    /// Labels at the positions from `from` to before `to`.
    pub async fn labels_between(
        &mut self,
        from: u64,
        to: u64,
    ) -> Result<Vec<LabelledObservation>, StoreError> {
        self.run(async |session: &mut Session| labels::read(session.connection(), from, to).await).await
    }

    /// Contents of the baselines that were in use at a decision: the newest of each stream.
    pub async fn baselines_in_use(&mut self, before: u64) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError> {
        let query = "SELECT DISTINCT ON (stream_id) baseline_id, content FROM monitoring_decisions
            JOIN monitoring_baselines ON baseline_id = subject
            WHERE kind = 'approved' AND position < $1 ORDER BY stream_id, position DESC";
        let query = sqlx::query_as(query).bind(before as i64);
        self.run(async |session| query.fetch_all(session).await).await
    }

    pub async fn approvals(&mut self) -> Result<Vec<Approval>, StoreError> {
        let query = "SELECT baseline_id, approved_at FROM monitoring_approvals";
        self.run(async |session| sqlx::query_as(query).fetch_all(session).await).await
    }

    /// Predicted images by stream in the closed days from `from` on.
    pub async fn predicted_since(&mut self, from: OffsetDateTime) -> Result<HashMap<u32, u64>, StoreError> {
        let query = "SELECT stream_id, sum((counts->>'n_predicted')::bigint)::bigint FROM monitoring_windows
            WHERE span = 'day' AND starts >= $1 GROUP BY stream_id";
        let query = sqlx::query_as::<_, (i32, i64)>(query).bind(from);
        let found = self.run(async |session| query.fetch_all(session).await).await?;
        Ok(found.into_iter().map(|(stream, n)| (stream as u32, n as u64)).collect())
    }

    /// The newest drawn images since `from`, with their stream.
    pub async fn drawn_since(&mut self, from: OffsetDateTime) -> Result<Vec<(u32, Drawn)>, StoreError> {
        let query = "SELECT stream_id, received_at, EXISTS (SELECT FROM labels WHERE labels.prediction_id = drawn.prediction_id)
            FROM review_samples AS drawn WHERE received_at >= $1 ORDER BY received_at DESC LIMIT $2";
        let query = sqlx::query_as::<_, (i32, OffsetDateTime, bool)>(query).bind(from).bind(MOST_DRAWN);
        let found = self.run(async |session| query.fetch_all(session).await).await?;
        let drawn = |(stream, received_at, is_read)| (stream as u32, Drawn { received_at, is_read });
        Ok(found.into_iter().map(drawn).collect())
    }

    /// Alarms that are not resolved.
    pub async fn open_alarms(&mut self) -> Result<Vec<StoredAlarm>, StoreError> {
        let query = sqlx::query_as(ALARMS).bind(false).bind(MOST_ALARMS);
        self.run(async |session| query.fetch_all(session).await).await
    }
}
