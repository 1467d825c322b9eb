//! The cursor, the streams and the state of their detectors.

use crate::store::session::Session;
use crate::store::{Lease, Reader, StoreError};
use monitoring::stream::{Model, Stream};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use time::OffsetDateTime;

/// How far the job has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub next_leaf: u64,
    pub next_label: u64,
    pub next_decision: u64,
    pub newest_row_at: Option<OffsetDateTime>,
    /// Leaves whose rows retention had dropped when they were read.
    pub n_gone: u64,
    /// When the leader last committed a step, by the database clock.
    pub stepped_at: OffsetDateTime,
}

pub(super) const CURSOR: &str =
    "SELECT next_leaf, next_label, next_decision, newest_row_at, n_gone, stepped_at
    FROM monitoring_cursor";

impl FromRow<'_, PgRow> for Cursor {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let number = |column| row.try_get::<i64, _>(column).map(|number| number as u64);
        Ok(Self {
            next_leaf: number("next_leaf")?,
            next_label: number("next_label")?,
            next_decision: number("next_decision")?,
            newest_row_at: row.try_get("newest_row_at")?,
            n_gone: number("n_gone")?,
            stepped_at: row.try_get("stepped_at")?,
        })
    }
}

#[derive(Debug, Clone)]
pub struct StoredStream {
    pub id: u32,
    pub stream: Stream,
    /// State of its detectors and open windows; none before the first commit of one.
    pub state: Option<Vec<u8>>,
}

impl FromRow<'_, PgRow> for StoredStream {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let version: Option<String> = row.try_get("model_version")?;
        let model = version.map(|version| {
            Ok::<_, sqlx::Error>(Model {
                version,
                digest: row.try_get("bundle_digest")?,
                variant: row.try_get("variant")?,
            })
        });
        let stream =
            Stream { site: row.try_get("site")?, slice: row.try_get("slice")?, model: model.transpose()? };
        Ok(Self { id: row.try_get::<i32, _>("stream_id")? as u32, stream, state: row.try_get("state")? })
    }
}

/// What the job continues from.
#[derive(Debug, Clone)]
pub struct JobState {
    pub cursor: Cursor,
    pub streams: Vec<StoredStream>,
    /// Settings that the state was made with.
    pub settings: Option<serde_json::Value>,
}

async fn load(session: &mut Session) -> Result<JobState, sqlx::Error> {
    // One statement a table, in one snapshot: the job of another replica may commit meanwhile.
    let mut transaction = session.transaction().await?;
    let repeatable = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    crate::store::write::command(&mut *transaction, sqlx::query(repeatable)).await?;
    let cursor = sqlx::query_as(CURSOR).fetch_one(&mut *transaction).await?;
    let streams = "SELECT stream_id, site, slice, model_version, bundle_digest, variant, state
        FROM monitoring_streams LEFT JOIN monitoring_detectors USING (stream_id) ORDER BY stream_id";
    let streams = sqlx::query_as(streams).fetch_all(&mut *transaction).await?;
    let settings =
        "SELECT detail FROM monitoring_decisions WHERE kind = 'settings' ORDER BY position DESC LIMIT 1";
    let settings = sqlx::query_scalar(settings).fetch_optional(&mut *transaction).await?;
    transaction.rollback().await?;
    Ok(JobState { cursor, streams, settings })
}

impl Lease {
    pub async fn monitoring_state(&mut self) -> Result<JobState, StoreError> {
        self.run(async |session| load(session).await).await
    }
}

impl Reader {
    /// A session of its own, because a pool behind a pooler is in a transaction already.
    pub async fn monitoring_state(&self) -> Result<JobState, StoreError> {
        let mut session = self.0.connect().await?;
        let loaded = load(&mut session).await;
        session.close().await;
        Ok(loaded?)
    }

    pub async fn monitoring_cursor(&self) -> Result<Cursor, StoreError> {
        self.0.run(async |session| sqlx::query_as(CURSOR).fetch_one(session).await).await
    }

    /// Leaves in the tree that the job has not read.
    pub async fn monitoring_rows_behind(&self) -> Result<u64, StoreError> {
        let query = "SELECT coalesce((SELECT max(leaf_index) + 1 FROM audit_leaves), 0) - next_leaf FROM monitoring_cursor";
        let behind: i64 =
            self.0.run(async |session| sqlx::query_scalar(query).fetch_one(session).await).await?;
        Ok(behind.max(0) as u64)
    }
}
