//! The table `labels`: inserts a label, lists the labels of a row, and joins rows with their current label.

use super::session::Session;
use super::{AnnotationWriter, Reader, StoreError};
use crate::record::AuditRow;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug)]
pub struct NewLabel {
    pub prediction_id: Uuid,
    /// `positive` or `negative`.
    pub label: &'static str,
    /// Source of the label, such as `radiologist`.
    pub source: &'static str,
    /// When the finding was made.
    pub labelled_at: OffsetDateTime,
    pub request_id: String,
    pub actor: String,
}

/// A row of `labels` (migrations/0006_labels.sql).
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct StoredLabel {
    pub id: Uuid,
    pub prediction_id: Uuid,
    pub label: String,
    pub source: String,
    pub labelled_at: OffsetDateTime,
    pub recorded_at: OffsetDateTime,
    pub actor: String,
}

#[derive(Debug)]
pub struct LabelledPrediction {
    pub row: AuditRow,
    pub label: Option<CurrentLabel>,
}

/// The label with the latest `labelled_at`; if two are equal, the one recorded last.
#[derive(Debug, Clone)]
pub struct CurrentLabel {
    pub label: String,
    pub source: String,
    pub labelled_at: OffsetDateTime,
}

impl FromRow<'_, PgRow> for LabelledPrediction {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let label = row.try_get::<Option<String>, _>("label")?.map(|label| {
            let (source, labelled_at) = (row.try_get("source")?, row.try_get("labelled_at")?);
            Ok::<_, sqlx::Error>(CurrentLabel { label, source, labelled_at })
        });
        Ok(Self { row: AuditRow::from_row(row)?, label: label.transpose()? })
    }
}

/// Put around a statement that selects rows of `predictions`, these add each row's current label.
pub(super) const WITH_LABEL: [&str; 2] = [
    "SELECT page.*, latest.label, latest.source, latest.labelled_at FROM (",
    ") AS page LEFT JOIN LATERAL (SELECT label, source, labelled_at FROM labels WHERE prediction_id = page.id
    ORDER BY labelled_at DESC, recorded_at DESC, labels.id DESC LIMIT 1) AS latest ON true ORDER BY page.id DESC",
];

const INSERT: &str = "
WITH same AS (
    SELECT label, actor, recorded_at, id FROM labels WHERE prediction_id = $2 AND source = $4 AND labelled_at = $5
), latest AS (
    SELECT label, actor FROM same ORDER BY recorded_at DESC, id DESC LIMIT 1
)
INSERT INTO labels (id, prediction_id, label, source, labelled_at, request_id, actor, restated)
SELECT $1, $2, $3, $4, $5, $6, $7, (SELECT count(*)::integer FROM same WHERE label = $3)
WHERE NOT EXISTS (SELECT FROM latest WHERE label = $3 AND actor = $7)
ON CONFLICT ON CONSTRAINT label_once DO NOTHING
RETURNING id, prediction_id, label, source, labelled_at, recorded_at, actor";

const LATEST: &str = "
SELECT id, prediction_id, label, source, labelled_at, recorded_at, actor FROM labels
WHERE prediction_id = $1 AND source = $2 AND labelled_at = $3 ORDER BY recorded_at DESC, id DESC LIMIT 1";

/// Attempts to insert a label while others insert the same one.
const ATTEMPTS: usize = 3;

const LIST: &str = "
SELECT id, prediction_id, label, source, labelled_at, recorded_at, actor FROM labels
WHERE prediction_id = $1 ORDER BY labelled_at DESC, recorded_at DESC, id DESC";

async fn insert(session: &mut Session, label: &NewLabel) -> Result<(StoredLabel, bool), StoreError> {
    for _ in 0..ATTEMPTS {
        let inserted: Option<StoredLabel> = sqlx::query_as(INSERT)
            .bind(Uuid::now_v7())
            .bind(label.prediction_id)
            .bind(label.label)
            .bind(label.source)
            .bind(label.labelled_at)
            .bind(&label.request_id)
            .bind(&label.actor)
            .fetch_optional(&mut *session)
            .await?;
        if let Some(inserted) = inserted {
            return Ok((inserted, true));
        }
        let latest =
            sqlx::query_as(LATEST).bind(label.prediction_id).bind(label.source).bind(label.labelled_at);
        let latest: Option<StoredLabel> = latest.fetch_optional(&mut *session).await?;
        if let Some(latest) =
            latest.filter(|latest| latest.label == label.label && latest.actor == label.actor)
        {
            return Ok((latest, false));
        }
    }
    // Neither inserted nor present: a trigger or rule discarded it.
    Err(StoreError::Rows { table: "labels", written: 1, kept: 0 })
}

impl AnnotationWriter {
    /// Commits a label; returns it and whether it is new. A label is not new if the latest one with the same
    /// row, source and `labelled_at` has the same value and actor: the client sent it twice.
    ///
    /// # Errors
    /// After `Statement` or `Timeout` the label may exist.
    pub async fn insert_label(&self, label: &NewLabel) -> Result<(StoredLabel, bool), StoreError> {
        self.0.run(async |session| insert(session, label).await).await
    }
}

impl Reader {
    pub async fn labels(&self, id: Uuid) -> Result<Vec<StoredLabel>, StoreError> {
        self.0.run(async |session| sqlx::query_as(LIST).bind(id).fetch_all(session).await).await
    }
}
