//! Alarms and what became of them.

use crate::store::{Lease, Reader, StoreError, write};
use monitoring::snapshot::{Alarm, Severity};
use monitoring::stream::{Model, Stream};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// An alarm with its events, the oldest first.
#[derive(Debug, Clone)]
pub struct StoredAlarm {
    pub alarm: Alarm,
    pub baseline: Option<Uuid>,
    pub resolved_at: Option<OffsetDateTime>,
    pub events: Vec<Event>,
}

/// What was done about it.
#[derive(Debug, Clone, serde::Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub struct Event {
    /// `acknowledged`, `escalated` or `resolved`.
    pub event: String,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub actor: String,
    pub reason: String,
}

pub(super) const ALARMS: &str = "
SELECT alarm.*, stream.site, stream.slice, stream.model_version, stream.bundle_digest, stream.variant,
    coalesce((SELECT jsonb_agg(jsonb_build_object('event', event, 'at', at, 'actor', actor, 'reason', reason) ORDER BY at)
        FROM monitoring_alarm_events AS event WHERE event.alarm_id = alarm.alarm_id), '[]') AS events
FROM monitoring_alarms AS alarm JOIN monitoring_streams AS stream USING (stream_id)
WHERE $1 OR NOT EXISTS (SELECT FROM monitoring_alarm_events AS event
    WHERE event.alarm_id = alarm.alarm_id AND event = 'resolved')
ORDER BY opened_leaf DESC, alarm_id LIMIT $2";

/// Alarms beyond this many are older than anyone acts on.
pub(super) const MOST_ALARMS: i64 = 1000;

impl FromRow<'_, PgRow> for StoredAlarm {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let version: Option<String> = row.try_get("model_version")?;
        let model = version.map(|version| {
            let (digest, variant) = (row.try_get("bundle_digest")?, row.try_get("variant")?);
            Ok::<_, sqlx::Error>(Model { version, digest, variant })
        });
        let stream =
            Stream { site: row.try_get("site")?, slice: row.try_get("slice")?, model: model.transpose()? };
        let Json(events): Json<Vec<Event>> = row.try_get("events")?;
        let at = |name: &str| events.iter().find(|event| event.event == name).map(|event| event.at);
        let Json(quantities) = row.try_get("quantities")?;
        let severity =
            if row.try_get::<&str, _>("severity")? == "page" { Severity::Page } else { Severity::Ticket };
        let alarm = Alarm {
            id: row.try_get("alarm_id")?,
            stream,
            detector: row.try_get("detector")?,
            severity,
            opened_at: row.try_get("opened_at")?,
            opened_leaf: row.try_get::<i64, _>("opened_leaf")? as u64,
            change_at: row.try_get("change_at")?,
            evidence: row.try_get("evidence")?,
            threshold: row.try_get("threshold")?,
            quantities,
            acknowledged_at: at("acknowledged"),
            escalated_at: at("escalated"),
        };
        Ok(Self { alarm, baseline: row.try_get("baseline_id")?, resolved_at: at("resolved"), events })
    }
}

impl Reader {
    /// Alarms, the newest first; with those that are resolved if `all`.
    pub async fn alarms(&self, all: bool) -> Result<Vec<StoredAlarm>, StoreError> {
        let query = sqlx::query_as(ALARMS).bind(all).bind(MOST_ALARMS);
        self.0.run(async |session| query.fetch_all(session).await).await
    }
}

const ESCALATE: &str = "
INSERT INTO monitoring_alarm_events (event_id, alarm_id, event, actor, reason)
SELECT gen_random_uuid(), alarm_id, 'escalated', 'monitor', 'not acknowledged in time' FROM unnest($1::uuid[]) AS overdue (alarm_id)";

impl Lease {
    /// Escalates open alarms that have been stored for `after` and are not acknowledged; returns how many.
    pub async fn escalate_alarms(&mut self, after: Duration) -> Result<u64, StoreError> {
        let overdue = "SELECT alarm_id FROM monitoring_alarms AS alarm
            WHERE stored_at < clock_timestamp() - make_interval(secs => $1)
                AND NOT EXISTS (SELECT FROM monitoring_alarm_events AS event WHERE event.alarm_id = alarm.alarm_id)";
        let overdue = sqlx::query_scalar(overdue).bind(after.as_secs_f64());
        self.run(async |session| {
            let overdue: Vec<Uuid> = overdue.fetch_all(&mut *session).await?;
            let insert = sqlx::query(ESCALATE).bind(&overdue);
            write::exactly(session, overdue.len() as u64, "monitoring_alarm_events", insert).await?;
            Ok::<_, StoreError>(overdue.len() as u64)
        })
        .await
    }
}
