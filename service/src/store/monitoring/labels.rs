//! Labels in the order in which the job reads them.

use super::rows::{COLUMNS, Decoder};
use crate::store::session::Session;
use crate::store::{Reader, StoreError, write};
use monitoring::observation::LabelledObservation;
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row};
use std::time::Duration;
use time::OffsetDateTime;

/// Longest time between `recorded_at`, which the insert sets, and its commit.
const LATE_COMMIT: Duration = Duration::from_hours(1);

/// Labels without a position whose rows the job has read, in the order of their recording.
const NEW: &str = "
SELECT label.label_id, label.prediction_id FROM monitoring_label_rows AS label
    JOIN audit_leaves AS leaf ON leaf.prediction_id = label.prediction_id AND leaf.leaf_index < $2
WHERE label.recorded_at >= $1 - make_interval(secs => $4)
    AND NOT EXISTS (SELECT FROM monitoring_labels AS known WHERE known.label_id = label.label_id)
ORDER BY label.recorded_at, label.label_id LIMIT $3";

const NUMBER: &str = "
INSERT INTO monitoring_labels (position, label_id, prediction_id)
SELECT $1 + place - 1, label_id, prediction_id
FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS label (label_id, prediction_id, place)";

/// Gives new labels their positions; returns how many. Call it within the step's transaction.
pub(super) async fn number(
    connection: &mut PgConnection,
    next_label: u64,
    next_leaf: u64,
    from: Option<OffsetDateTime>,
    limit: usize,
) -> Result<u64, StoreError> {
    let new: Vec<(uuid::Uuid, uuid::Uuid)> = sqlx::query_as(NEW)
        .bind(from.unwrap_or(EVER))
        .bind(next_leaf as i64)
        .bind(limit as i64)
        .bind(LATE_COMMIT.as_secs_f64())
        .fetch_all(&mut *connection)
        .await?;
    let n = new.len() as u64;
    if n > 0 {
        let (labels, predictions): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let insert = sqlx::query(NUMBER).bind(next_label as i64).bind(labels).bind(predictions);
        write::exactly(connection, n, "monitoring_labels", insert).await?;
    }
    Ok(n)
}

/// Earlier than every label.
const EVER: OffsetDateTime = time::macros::datetime!(1970-01-01 00:00 UTC);

/// Positions `[$1, $2)` with their rows; without those whose row retention dropped.
fn read_statement() -> String {
    let columns: Vec<String> = COLUMNS.split(',').map(|column| format!("entry.{}", column.trim())).collect();
    format!(
        "SELECT {}, known.position, label.label, label.recorded_at, label.labelled_at,
             EXISTS (SELECT FROM monitoring_labels AS earlier
                 WHERE earlier.prediction_id = known.prediction_id AND earlier.position < known.position) AS is_correction,
             CASE WHEN entry.review_required THEN 1 ELSE sample.inclusion_probability END AS inclusion_probability
         FROM monitoring_labels AS known JOIN monitoring_label_rows AS label USING (label_id)
             JOIN monitoring_rows AS entry ON entry.id = known.prediction_id
             LEFT JOIN review_samples AS sample ON sample.prediction_id = known.prediction_id
         WHERE known.position >= $1 AND known.position < $2 AND entry.outcome = 'predicted' ORDER BY known.position",
        columns.join(", ")
    )
}

fn labelled(decoder: &mut Decoder, row: &PgRow) -> Result<Option<LabelledObservation>, sqlx::Error> {
    let Some(observed) = decoder.observation(row)? else { return Ok(None) };
    let Some(score) = observed.score else { return Ok(None) };
    Ok(Some(LabelledObservation {
        position: row.try_get::<i64, _>("position")? as u64,
        prediction_id: observed.id,
        received_at: observed.received_at,
        recorded_at: row.try_get("recorded_at")?,
        site: observed.site,
        view: observed.view,
        patient_day: observed.patient_day,
        score,
        positive: row.try_get::<&str, _>("label")? == "positive",
        is_correction: row.try_get("is_correction")?,
        is_repeat: observed.is_repeat,
        inclusion_probability: row.try_get("inclusion_probability")?,
    }))
}

pub(super) async fn read(
    connection: &mut PgConnection,
    from: u64,
    to: u64,
) -> Result<Vec<LabelledObservation>, sqlx::Error> {
    let query = sqlx::query(sqlx::AssertSqlSafe(read_statement())).bind(from as i64).bind(to as i64);
    let rows = connection.fetch_all(query).await?;
    let mut decoder = Decoder::default();
    rows.iter().filter_map(|row| labelled(&mut decoder, row).transpose()).collect()
}

impl Reader {
    /// Labels at the positions from `from` to before `to`, of rows that exist.
    pub async fn monitoring_labels(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Vec<LabelledObservation>, StoreError> {
        let work = async |session: &mut Session| read(session.connection(), from, to).await;
        self.0.run(work).await
    }
}
