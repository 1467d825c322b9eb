//! The table `labels`: one insert, one list, and the label that counts beside a row.

use super::StoreError;
use super::session::Session;
use crate::record::AuditRow;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use time::OffsetDateTime;
use uuid::Uuid;

/// A label to be written.
#[derive(Debug)]
pub struct NewLabel {
    /// The image.
    pub prediction_id: Uuid,
    /// `positive` or `negative`.
    pub label: &'static str,
    /// Who or what found it.
    pub source: &'static str,
    /// When.
    pub labelled_at: OffsetDateTime,
    /// The request.
    pub request_id: String,
    /// Subject of the token.
    pub actor: String,
}

/// A label as it is kept.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
#[expect(
    missing_docs,
    reason = "each field is the column of its name; migrations/0006_labels.sql describes them"
)]
pub struct StoredLabel {
    pub id: Uuid,
    pub prediction_id: Uuid,
    pub label: String,
    pub source: String,
    pub labelled_at: OffsetDateTime,
    pub recorded_at: OffsetDateTime,
    pub actor: String,
}

/// A row with the label that counts of its image, where there is one.
#[derive(Debug)]
pub struct LabelledPrediction {
    /// The row.
    pub row: AuditRow,
    /// The label.
    pub label: Option<CountingLabel>,
}

/// The label that counts: found last, and of two found at the same moment, written down last.
#[derive(Debug, Clone)]
pub struct CountingLabel {
    /// `positive` or `negative`.
    pub label: String,
    /// Who or what found it.
    pub source: String,
    /// When.
    pub labelled_at: OffsetDateTime,
}

impl FromRow<'_, PgRow> for LabelledPrediction {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let label = row.try_get::<Option<String>, _>("label")?.map(|label| {
            let (source, labelled_at) = (row.try_get("source")?, row.try_get("labelled_at")?);
            Ok::<_, sqlx::Error>(CountingLabel { label, source, labelled_at })
        });
        Ok(Self { row: AuditRow::from_row(row)?, label: label.transpose()? })
    }
}

/// Around a statement for rows of `predictions`: each with the label that counts.
pub(super) const WITH_LABEL: [&str; 2] = [
    "SELECT page.*, counting.label, counting.source, counting.labelled_at FROM (",
    ") AS page LEFT JOIN LATERAL (SELECT label, source, labelled_at FROM labels WHERE prediction_id = page.id
    ORDER BY labelled_at DESC, recorded_at DESC, labels.id DESC LIMIT 1) AS counting ON true ORDER BY page.id DESC",
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

/// How often a statement is tried that others overtake.
const ATTEMPTS: usize = 3;

const LIST: &str = "
SELECT id, prediction_id, label, source, labelled_at, recorded_at, actor FROM labels
WHERE prediction_id = $1 ORDER BY labelled_at DESC, recorded_at DESC, id DESC";

/// The label, and whether it is new. It is the delivery of an earlier one again where the latest with the same source and time says the
/// same by the same reader; every other statement is a row of its own.
pub(super) async fn insert(
    session: &mut Session,
    label: &NewLabel,
) -> Result<(StoredLabel, bool), StoreError> {
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
        let latest: Option<StoredLabel> = sqlx::query_as(LATEST)
            .bind(label.prediction_id)
            .bind(label.source)
            .bind(label.labelled_at)
            .fetch_optional(&mut *session)
            .await?;
        if let Some(latest) =
            latest.filter(|latest| latest.label == label.label && latest.actor == label.actor)
        {
            return Ok((latest, false));
        }
    }
    // Neither new nor known: it was swallowed.
    Err(StoreError::Rows { table: "labels", written: 1, kept: 0 })
}

/// Every label of an image, the one that counts first.
pub(super) async fn list(session: &mut Session, id: Uuid) -> Result<Vec<StoredLabel>, sqlx::Error> {
    sqlx::query_as(LIST).bind(id).fetch_all(session).await
}
