//! Baselines: frozen when proposed, used once approved.

use crate::store::{AnnotationWriter, Operator, Reader, StoreError};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug)]
pub struct NewBaseline<'a> {
    pub id: Uuid,
    pub stream: u32,
    pub first_leaf: u64,
    pub last_leaf: u64,
    pub n_images: u64,
    pub digest: [u8; 32],
    pub content: &'a [u8],
    pub simulation: &'a Value,
}

#[derive(Debug, Clone)]
pub struct StoredBaseline {
    pub id: Uuid,
    pub stream: u32,
    pub proposed_at: OffsetDateTime,
    pub actor: String,
    pub first_leaf: u64,
    pub last_leaf: u64,
    pub n_images: u64,
    pub digest: [u8; 32],
    pub simulation: Value,
    pub approved_at: Option<OffsetDateTime>,
}

impl FromRow<'_, PgRow> for StoredBaseline {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let number = |column| row.try_get::<i64, _>(column).map(|number| number as u64);
        Ok(Self {
            id: row.try_get("baseline_id")?,
            stream: row.try_get::<i32, _>("stream_id")? as u32,
            proposed_at: row.try_get("proposed_at")?,
            actor: row.try_get("actor")?,
            first_leaf: number("first_leaf")?,
            last_leaf: number("last_leaf")?,
            n_images: number("n_images")?,
            digest: row.try_get("digest")?,
            simulation: row.try_get("simulation")?,
            approved_at: row.try_get("approved_at")?,
        })
    }
}

const PROPOSE: &str = "
WITH made AS (
    INSERT INTO monitoring_baselines (baseline_id, stream_id, actor, first_leaf, last_leaf, n_images, digest, content, simulation)
    VALUES ($1, $2, coalesce($3, 'database:' || current_user), $4, $5, $6, $7, $8, $9) RETURNING 1
), noted AS (
    INSERT INTO operations (operation_id, request_id, actor, action, detail)
    VALUES ($10, $11, coalesce($3, 'database:' || current_user), 'monitoring.proposed', jsonb_build_object('subject', $1, 'stream', $2, 'digest', encode($7, 'hex'))) RETURNING 1
)
SELECT check_write('{monitoring_baselines,operations}', ARRAY[(SELECT count(*) FROM made), (SELECT count(*) FROM noted)], '{1,1}',
    statement_timestamp(), 1)";

impl AnnotationWriter {
    /// Stores a baseline; nothing uses it until it is approved.
    pub async fn propose_baseline(&self, new: &NewBaseline<'_>, by: &Operator) -> Result<(), StoreError> {
        let insert = sqlx::query_scalar::<_, f64>(PROPOSE)
            .bind(new.id)
            .bind(new.stream as i32)
            .bind(&by.actor)
            .bind(new.first_leaf as i64)
            .bind(new.last_leaf as i64)
            .bind(new.n_images as i64)
            .bind(new.digest)
            .bind(new.content)
            .bind(new.simulation)
            .bind(Uuid::now_v7())
            .bind(&by.request_id);
        self.0.run(async |session| insert.fetch_one(session).await).await.map(drop)
    }
}

impl Reader {
    /// Every baseline without its content, the newest first.
    pub async fn baselines(&self) -> Result<Vec<StoredBaseline>, StoreError> {
        let query = "SELECT baseline_id, stream_id, proposed_at, baseline.actor, first_leaf, last_leaf, n_images, digest,
                simulation, approved_at
            FROM monitoring_baselines AS baseline LEFT JOIN monitoring_approvals USING (baseline_id)
            ORDER BY proposed_at DESC";
        self.0.run(async |session| sqlx::query_as(query).fetch_all(session).await).await
    }

    pub async fn baseline_content(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query_scalar("SELECT content FROM monitoring_baselines WHERE baseline_id = $1");
        let query = query.bind(id);
        self.0.run(async |session| query.fetch_optional(session).await).await
    }
}
