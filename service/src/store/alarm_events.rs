//! The table `monitoring_alarm_events`: what operators did about an alarm. Each event happens once.

use super::operations::{Operator, Reason};
use super::session::Session;
use super::{AnnotationWriter, Reader, StoreError, write};
use serde_json::json;
use sqlx::Row;
use time::OffsetDateTime;
use uuid::Uuid;

/// What an operator does about an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmAction {
    Acknowledge,
    Resolve,
}

impl AlarmAction {
    /// Its event, and its name in the operations log.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Acknowledge => ("acknowledged", "alarm.acknowledge"),
            Self::Resolve => ("resolved", "alarm.resolve"),
        }
    }
}

/// A row of `monitoring_alarm_events` (migrations/0014_monitoring.sql).
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AlarmEvent {
    pub alarm_id: Uuid,
    pub event: String,
    pub at: OffsetDateTime,
    pub actor: String,
    pub reason: String,
}

/// What became of an action.
#[derive(Debug)]
pub enum AlarmOutcome {
    Done(AlarmEvent),
    /// The action was done before: its first event.
    Before(AlarmEvent),
    /// Neither the baseline nor the model has changed since the alarm: it must not be resolved.
    Unchanged,
    NoSuchAlarm,
}

/// Event and time of an event, without who and why.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AlarmMark {
    pub alarm_id: Uuid,
    pub event: String,
    pub at: OffsetDateTime,
}

const FIND: &str = "SELECT alarm_id, event, at, actor, reason FROM monitoring_alarm_events WHERE alarm_id = $1 AND event = $2";

/// Whether something has changed since an alarm: a baseline of its stream was approved, or the site and
/// slice of a model's stream have a later model.
const HAS_CHANGED: &str = "
SELECT EXISTS (
    SELECT FROM monitoring_approvals JOIN monitoring_baselines AS baseline USING (baseline_id)
    WHERE baseline.stream_id = alarm.stream_id AND approved_at > alarm.stored_at
) OR EXISTS (
    SELECT FROM monitoring_streams AS own JOIN monitoring_streams AS later USING (site, slice)
    WHERE own.stream_id = alarm.stream_id AND own.bundle_digest IS NOT NULL AND later.first_leaf > alarm.opened_leaf
        AND (later.bundle_digest, later.variant) <> (own.bundle_digest, own.variant)
) FROM monitoring_alarms AS alarm WHERE alarm_id = $1";

/// A resolution is also a decision: the detector starts anew at the next leaf and label.
const INSERT: &str = "
WITH added AS (
    INSERT INTO monitoring_alarm_events (event_id, alarm_id, event, actor, reason)
    VALUES ($1, $2, $3, coalesce($4, 'database:' || current_user), $5)
    ON CONFLICT ON CONSTRAINT alarm_event_once DO NOTHING RETURNING at, actor
), logged AS (
    INSERT INTO operations (operation_id, request_id, actor, action, detail)
    SELECT $1, $6, actor, $7, $8 FROM added RETURNING 1
), placed AS (
    UPDATE monitoring_cursor SET n_decisions = n_decisions + 1 WHERE $3 = 'resolved' AND EXISTS (SELECT FROM added)
    RETURNING n_decisions - 1 AS position, next_leaf, next_label
), decided AS (
    INSERT INTO monitoring_decisions (position, kind, subject, from_leaf, from_label)
    SELECT position, $3, $2, next_leaf, next_label FROM placed RETURNING 1
)
SELECT n_added, n_logged, n_decided, check_write('{operations,monitoring_decisions}', ARRAY[n_logged, n_decided],
    ARRAY[n_added, CASE WHEN $3 = 'resolved' THEN n_added ELSE 0 END], statement_timestamp(), 1)
FROM (SELECT (SELECT count(*) FROM added) AS n_added, (SELECT count(*) FROM logged) AS n_logged,
    (SELECT count(*) FROM decided) AS n_decided) AS counts";

const MARKS: &str = "SELECT alarm_id, event, at FROM monitoring_alarm_events WHERE alarm_id = ANY ($1)";

async fn find(session: &mut Session, alarm: Uuid, event: &str) -> Result<Option<AlarmEvent>, sqlx::Error> {
    sqlx::query_as(FIND).bind(alarm).bind(event).fetch_optional(session).await
}

impl AnnotationWriter {
    /// Commits an event with its line in the operations log, once.
    pub async fn act_on_alarm(
        &self,
        alarm: Uuid,
        action: AlarmAction,
        reason: &Reason,
        operator: &Operator,
    ) -> Result<AlarmOutcome, StoreError> {
        let (event, logged_as) = action.names();
        let insert = sqlx::query(INSERT)
            .bind(Uuid::now_v7())
            .bind(alarm)
            .bind(event)
            .bind(&operator.actor)
            .bind(reason.text())
            .bind(&operator.request_id)
            .bind(logged_as)
            .bind(json!({ "alarm_id": alarm, "reason": reason.text() }));
        self.0
            .run(async |session| {
                if let Some(first) = find(session, alarm, event).await? {
                    return Ok(AlarmOutcome::Before(first));
                }
                let changed = sqlx::query_scalar(HAS_CHANGED).bind(alarm).fetch_optional(&mut *session);
                match changed.await? {
                    None => return Ok(AlarmOutcome::NoSuchAlarm),
                    Some(false) if action == AlarmAction::Resolve => return Ok(AlarmOutcome::Unchanged),
                    Some(_) => {}
                }
                let row = insert.fetch_one(&mut *session).await?;
                let n_added: i64 = row.try_get("n_added")?;
                write::counted("operations", n_added as u64, row.try_get::<i64, _>("n_logged")? as u64)?;
                let stored = find(session, alarm, event).await?;
                let stored = stored.ok_or_else(|| write::lost("monitoring_alarm_events"))?;
                let outcome = if n_added == 1 { AlarmOutcome::Done } else { AlarmOutcome::Before };
                Ok::<_, StoreError>(outcome(stored))
            })
            .await
    }
}

impl Reader {
    /// The events of some alarms.
    pub async fn alarm_marks(&self, alarms: &[Uuid]) -> Result<Vec<AlarmMark>, StoreError> {
        let marks = sqlx::query_as(MARKS).bind(alarms);
        self.0.run(async |session| marks.fetch_all(session).await).await
    }
}
