//! One step of the job: what it reads and all that it writes, in one transaction.

use super::decisions::{Decision, SINCE};
use super::labels;
use super::rows::{self, RowBatch};
use super::state::{CURSOR, Cursor};
use crate::store::session::Session;
use crate::store::{Lease, StoreError, write};
use monitoring::observation::LabelledObservation;
use monitoring::snapshot::Severity;
use monitoring::stream::Stream;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

/// What a step reads.
#[derive(Debug)]
pub struct StepInput {
    /// They take effect before the rows and labels.
    pub decisions: Vec<Decision>,
    pub rows: RowBatch,
    pub labels: Vec<LabelledObservation>,
}

/// What a step writes.
#[derive(Debug, Default)]
pub struct Step {
    pub new_streams: Vec<(u32, Stream)>,
    /// Encoded state of the streams that changed.
    pub states: Vec<(u32, Vec<u8>)>,
    pub windows: Vec<NewWindow>,
    pub alarms: Vec<NewAlarm>,
    pub samples: Vec<NewSample>,
    pub newest_row_at: Option<OffsetDateTime>,
}

#[derive(Debug)]
pub struct NewWindow {
    pub stream: u32,
    /// `hour` or `day`.
    pub span: &'static str,
    pub starts: OffsetDateTime,
    pub first_leaf: u64,
    pub last_leaf: u64,
    pub n_rows: u64,
    pub counts: Value,
    pub content: Vec<u8>,
}

#[derive(Debug)]
pub struct NewAlarm {
    pub id: Uuid,
    pub stream: u32,
    pub detector: String,
    pub severity: Severity,
    pub opened_at: OffsetDateTime,
    pub opened_leaf: u64,
    pub change_at: Option<OffsetDateTime>,
    pub evidence: f64,
    pub threshold: f64,
    pub baseline: Option<Uuid>,
    pub quantities: Vec<(String, f64)>,
}

#[derive(Debug)]
pub struct NewSample {
    pub prediction_id: Uuid,
    pub stream: u32,
    pub leaf_index: u64,
    pub received_at: OffsetDateTime,
    pub stratum: &'static str,
    pub inclusion_probability: f64,
}

#[derive(Debug)]
pub struct StepOutcome {
    pub cursor: Cursor,
    /// Whether anything was read; false for a step that only says that the job runs.
    pub changed: bool,
    /// Whether there may be more to read at once.
    pub is_behind: bool,
}

impl Lease {
    /// Reads up to `limit` leaves and labels after `expected` and writes what `compute` makes of them. `None`
    /// if the cursor is elsewhere: another replica has worked meanwhile. Drop the lease after an error: the
    /// step may have taken effect.
    pub async fn monitoring_step<E: From<StoreError>>(
        &mut self,
        expected: &Cursor,
        limit: usize,
        all_labels: bool,
        compute: impl AsyncFnOnce(StepInput) -> Result<Step, E>,
    ) -> Result<Option<StepOutcome>, E> {
        // An error of the computation passes through: the session is as usable as before.
        let mut failed = None;
        let work = async |session: &mut Session| {
            let compute = async |input| compute(input).await.map_err(|error| failed = Some(error));
            step(session, expected, limit, all_labels, compute).await
        };
        let outcome = self.run(work).await;
        match failed {
            Some(error) => Err(error),
            None => outcome.map_err(E::from),
        }
    }

    /// Deletes a few hours that are older than they are kept; returns how many.
    pub async fn delete_old_hours(&mut self) -> Result<u64, StoreError> {
        // A few at a time: each holds kilobytes.
        let delete = "DELETE FROM monitoring_windows WHERE ctid IN (SELECT ctid FROM monitoring_windows
            WHERE span = 'hour' AND starts < clock_timestamp() - interval '35 days' LIMIT 500)";
        self.run(async |session| write::some(session, sqlx::query(delete)).await).await
    }
}

async fn step(
    session: &mut Session,
    expected: &Cursor,
    limit: usize,
    all_labels: bool,
    compute: impl AsyncFnOnce(StepInput) -> Result<Step, ()>,
) -> Result<Option<StepOutcome>, StoreError> {
    // Read before the transaction: whatever is in the tree stays as it is.
    let rows = rows::read(session, expected.next_leaf, limit).await?;
    let mut transaction = session.transaction().await?;
    // Holds off decisions until the end of the transaction.
    let lock = format!("{CURSOR} FOR UPDATE");
    let cursor: Cursor = sqlx::query_as(sqlx::AssertSqlSafe(lock)).fetch_one(&mut *transaction).await?;
    let place = |cursor: &Cursor| (cursor.next_leaf, cursor.next_label, cursor.next_decision);
    if place(&cursor) != place(expected) {
        return Ok(None);
    }
    let decisions = sqlx::query_as(SINCE).bind(cursor.next_decision as i64);
    let decisions: Vec<Decision> = decisions.fetch_all(&mut *transaction).await?;
    let caught_up = rows.n_leaves < limit as u64;
    let mut n_labels = 0;
    let mut labelled = Vec::new();
    if caught_up {
        let from = labels_from(&mut transaction, all_labels).await?;
        let (label, leaf) = (cursor.next_label, rows.next_leaf);
        n_labels = labels::number(&mut transaction, label, leaf, from, limit).await?;
        if n_labels > 0 {
            labelled = labels::read(&mut transaction, label, label + n_labels).await?;
        }
    }
    let (n_decisions, n_gone, next_leaf) = (decisions.len(), rows.n_gone(), rows.next_leaf);
    let changed = n_decisions > 0 || rows.n_leaves > 0 || n_labels > 0;
    let is_behind = !caught_up || n_labels == limit as u64;
    let computed = compute(StepInput { decisions, rows, labels: labelled }).await;
    let Ok(step) = computed else { return Ok(None) };
    insert(&mut transaction, &step, next_leaf).await?;
    let moved = "UPDATE monitoring_cursor SET next_leaf = $1, next_label = $2, next_decision = $3,
            newest_row_at = greatest(newest_row_at, $4), n_gone = n_gone + $5, stepped_at = clock_timestamp(),
            labels_from = CASE WHEN $6 THEN transaction_timestamp() ELSE labels_from END
        WHERE next_leaf = $7 AND next_label = $8 AND next_decision = $9";
    let moved = sqlx::query(moved)
        .bind(next_leaf as i64)
        .bind((cursor.next_label + n_labels) as i64)
        .bind((cursor.next_decision + n_decisions as u64) as i64)
        .bind(step.newest_row_at)
        .bind(n_gone as i64)
        .bind(caught_up && n_labels < limit as u64)
        .bind(cursor.next_leaf as i64)
        .bind(cursor.next_label as i64)
        .bind(cursor.next_decision as i64);
    write::exactly(&mut *transaction, 1, "monitoring_cursor", moved).await?;
    let cursor = sqlx::query_as(CURSOR).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Some(StepOutcome { cursor, changed, is_behind }))
}

async fn labels_from(
    connection: &mut PgConnection,
    all: bool,
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    if all {
        return Ok(None);
    }
    let query = "SELECT nullif(labels_from, '-infinity') FROM monitoring_cursor";
    sqlx::query_scalar(query).fetch_one(connection).await
}

async fn insert(connection: &mut PgConnection, step: &Step, next_leaf: u64) -> Result<(), StoreError> {
    for (id, stream) in &step.new_streams {
        let model = stream.model.as_ref();
        let insert = sqlx::query(
            "INSERT INTO monitoring_streams (stream_id, site, slice, model_version, bundle_digest, variant, first_leaf)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(*id as i32)
        .bind(&stream.site)
        .bind(&stream.slice)
        .bind(model.map(|model| &model.version))
        .bind(model.map(|model| &model.digest))
        .bind(model.map(|model| &model.variant))
        .bind(next_leaf as i64);
        write::exactly(&mut *connection, 1, "monitoring_streams", insert).await?;
    }
    states(connection, &step.states, next_leaf).await?;
    windows(connection, &step.windows).await?;
    alarms(connection, &step.alarms).await?;
    samples(connection, &step.samples).await
}

async fn states(
    connection: &mut PgConnection,
    states: &[(u32, Vec<u8>)],
    next_leaf: u64,
) -> Result<(), StoreError> {
    if states.is_empty() {
        return Ok(());
    }
    let store = sqlx::query(
        "INSERT INTO monitoring_detectors (stream_id, state, digest, next_leaf)
         SELECT *, $4 FROM unnest($1::integer[], $2::bytea[], $3::bytea[])
         ON CONFLICT (stream_id) DO UPDATE SET state = excluded.state, digest = excluded.digest, next_leaf = excluded.next_leaf",
    )
    .bind(states.iter().map(|(id, _)| *id as i32).collect::<Vec<_>>())
    .bind(states.iter().map(|(_, state)| state.as_slice()).collect::<Vec<_>>())
    .bind(states.iter().map(|(_, state)| Sha256::digest(state).to_vec()).collect::<Vec<_>>())
    .bind(next_leaf as i64);
    write::exactly(connection, states.len() as u64, "monitoring_detectors", store).await
}

async fn windows(connection: &mut PgConnection, windows: &[NewWindow]) -> Result<(), StoreError> {
    for window in windows {
        // Rows that came after their window was closed make another revision.
        let insert = sqlx::query(
            "INSERT INTO monitoring_windows (stream_id, span, starts, revision, first_leaf, last_leaf, n_rows, counts, content)
             SELECT $1, $2, $3, coalesce(max(revision) + 1, 0), $4, $5, $6, $7, $8 FROM monitoring_windows
             WHERE stream_id = $1 AND span = $2 AND starts = $3",
        )
        .bind(window.stream as i32)
        .bind(window.span)
        .bind(window.starts)
        .bind(window.first_leaf as i64)
        .bind(window.last_leaf as i64)
        .bind(window.n_rows as i64)
        .bind(&window.counts)
        .bind(&window.content);
        write::exactly(&mut *connection, 1, "monitoring_windows", insert).await?;
    }
    Ok(())
}

async fn alarms(connection: &mut PgConnection, alarms: &[NewAlarm]) -> Result<(), StoreError> {
    for alarm in alarms {
        let insert = sqlx::query(
            "INSERT INTO monitoring_alarms (alarm_id, stream_id, detector, severity, opened_at, opened_leaf, change_at, evidence,
                 threshold, baseline_id, quantities)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(alarm.id)
        .bind(alarm.stream as i32)
        .bind(&alarm.detector)
        .bind(alarm.severity.name())
        .bind(alarm.opened_at)
        .bind(alarm.opened_leaf as i64)
        .bind(alarm.change_at)
        .bind(alarm.evidence)
        .bind(alarm.threshold)
        .bind(alarm.baseline)
        .bind(Json(&alarm.quantities));
        write::exactly(&mut *connection, 1, "monitoring_alarms", insert).await?;
    }
    Ok(())
}

async fn samples(connection: &mut PgConnection, samples: &[NewSample]) -> Result<(), StoreError> {
    if samples.is_empty() {
        return Ok(());
    }
    let insert = sqlx::query(
        "INSERT INTO review_samples (prediction_id, stream_id, leaf_index, received_at, stratum, inclusion_probability)
         SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::timestamptz[], $5::text[], $6::double precision[])",
    )
    .bind(samples.iter().map(|sample| sample.prediction_id).collect::<Vec<_>>())
    .bind(samples.iter().map(|sample| sample.stream as i32).collect::<Vec<_>>())
    .bind(samples.iter().map(|sample| sample.leaf_index as i64).collect::<Vec<_>>())
    .bind(samples.iter().map(|sample| sample.received_at).collect::<Vec<_>>())
    .bind(samples.iter().map(|sample| sample.stratum).collect::<Vec<_>>())
    .bind(samples.iter().map(|sample| sample.inclusion_probability).collect::<Vec<_>>());
    write::exactly(connection, samples.len() as u64, "review_samples", insert).await
}
