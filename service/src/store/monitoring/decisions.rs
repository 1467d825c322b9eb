//! Decisions: what operators and the configuration change in the course of the detectors, in their order.

use crate::store::session::Session;
use crate::store::{AnnotationWriter, Lease, Operator, Reader, Reason, StoreError};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub enum DecisionKind {
    /// With the content of the baseline and the stream that it belongs to.
    Approved {
        baseline: Uuid,
        stream: u32,
        content: Vec<u8>,
    },
    Resolved {
        alarm: Uuid,
        stream: u32,
        detector: String,
    },
    Settings(Value),
}

/// A decision and where it takes effect.
#[derive(Debug, Clone)]
pub struct Decision {
    pub position: u64,
    pub from_leaf: u64,
    pub from_label: u64,
    pub kind: DecisionKind,
}

impl FromRow<'_, PgRow> for Decision {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let number = |column| row.try_get::<i64, _>(column).map(|number| number as u64);
        let stream = |column| row.try_get::<i32, _>(column).map(|stream| stream as u32);
        let kind = match row.try_get("kind")? {
            "approved" => DecisionKind::Approved {
                baseline: row.try_get("subject")?,
                stream: stream("baseline_stream")?,
                content: row.try_get("content")?,
            },
            "resolved" => DecisionKind::Resolved {
                alarm: row.try_get("subject")?,
                stream: stream("alarm_stream")?,
                detector: row.try_get("detector")?,
            },
            _ => DecisionKind::Settings(row.try_get("detail")?),
        };
        let (from_leaf, from_label) = (number("from_leaf")?, number("from_label")?);
        Ok(Self { position: number("position")?, from_leaf, from_label, kind })
    }
}

/// Decisions from a position on.
pub(super) const SINCE: &str = "
SELECT position, kind, subject, detail, from_leaf, from_label, baseline.stream_id AS baseline_stream, content,
    alarm.stream_id AS alarm_stream, alarm.detector
FROM monitoring_decisions LEFT JOIN monitoring_baselines AS baseline ON baseline_id = subject
    LEFT JOIN monitoring_alarms AS alarm ON alarm_id = subject
WHERE position >= $1 ORDER BY position LIMIT 100";

/// Takes the next number and makes a decision, with what belongs to it; $1 is its kind, $2 the subject, $3
/// the detail, $4 to $7 are the operation's. `made` inserts the row that belongs to the decision, or none if
/// it was made before.
fn decide(table: &str, made: &str) -> String {
    format!(
        "WITH made AS ({made}), placed AS (
            UPDATE monitoring_cursor SET n_decisions = n_decisions + 1 WHERE EXISTS (SELECT FROM made)
            RETURNING n_decisions - 1 AS position, next_leaf, next_label
        ), decided AS (
            INSERT INTO monitoring_decisions (position, kind, subject, detail, from_leaf, from_label)
            SELECT position, $1, $2, $3, next_leaf, next_label FROM placed RETURNING 1
        ), noted AS (
            INSERT INTO operations (operation_id, request_id, actor, action, detail)
            SELECT $4, $5, coalesce($6, 'database:' || current_user), 'monitoring.' || $1, jsonb_strip_nulls(jsonb_build_object('subject', $2::uuid, 'reason', $7::text,
                'settings', $3::jsonb)) FROM made RETURNING 1
        )
        SELECT n_made, check_write('{{{table},monitoring_cursor,monitoring_decisions,operations}}',
            ARRAY[n_made, n_placed, n_decided, n_noted], ARRAY[n_made, n_made, n_made, n_made], statement_timestamp(), 1)
        FROM (SELECT (SELECT count(*) FROM made) AS n_made, (SELECT count(*) FROM placed) AS n_placed,
            (SELECT count(*) FROM decided) AS n_decided, (SELECT count(*) FROM noted) AS n_noted) AS counts"
    )
}

async fn decided(
    session: &mut Session,
    query: &str,
    kind: &str,
    (subject, detail): (Option<Uuid>, Option<&Value>),
    by: &Operator,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(query.to_owned()))
        .bind(kind)
        .bind(subject)
        .bind(detail)
        .bind(Uuid::now_v7())
        .bind(&by.request_id)
        .bind(&by.actor)
        .bind(reason)
        .fetch_one(session)
        .await?;
    Ok(row.try_get::<i64, _>("n_made")? == 1)
}

impl AnnotationWriter {
    /// Approves a baseline; false if it is approved already.
    pub async fn approve_baseline(
        &self,
        baseline: Uuid,
        by: &Operator,
        reason: &Reason,
    ) -> Result<bool, StoreError> {
        let made = "INSERT INTO monitoring_approvals (baseline_id, actor, reason) VALUES ($2, coalesce($6, 'database:' || current_user), $7)
            ON CONFLICT DO NOTHING RETURNING 1";
        let query = decide("monitoring_approvals", made);
        let subject = (Some(baseline), None);
        self.0
            .run(async |session| decided(session, &query, "approved", subject, by, Some(reason.text())).await)
            .await
    }
}

impl Lease {
    /// Settings of the newest decision about them, also one that is not applied yet.
    pub async fn newest_monitoring_settings(&mut self) -> Result<Option<Value>, StoreError> {
        let query =
            "SELECT detail FROM monitoring_decisions WHERE kind = 'settings' ORDER BY position DESC LIMIT 1";
        self.run(async |session| sqlx::query_scalar(query).fetch_optional(session).await).await
    }

    /// Settings that the detectors use from now on.
    pub async fn decide_monitoring_settings(
        &mut self,
        settings: &Value,
        by: &Operator,
    ) -> Result<(), StoreError> {
        // Settings are in no table of their own.
        let query = decide("monitoring_decisions", "SELECT 1");
        self.run(async |session| decided(session, &query, "settings", (None, Some(settings)), by, None).await)
            .await
            .map(drop)
    }
}

impl Reader {
    /// Up to a hundred decisions from a position on.
    pub async fn monitoring_decisions(&self, from: u64) -> Result<Vec<Decision>, StoreError> {
        let query = sqlx::query_as(SINCE).bind(from as i64);
        self.0.run(async |session| query.fetch_all(session).await).await
    }
}
