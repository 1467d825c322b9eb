//! What is stored of windows and alarms, for a replay to compare with.

use crate::store::{Reader, StoreError};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use time::OffsetDateTime;
use uuid::Uuid;

/// A stored window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowKey {
    pub stream: u32,
    pub is_day: bool,
    pub starts: OffsetDateTime,
    pub revision: u32,
}

impl Display for WindowKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let span = if self.is_day { "day" } else { "hour" };
        write!(f, "stream {}, {span} of {}, revision {}", self.stream, self.starts, self.revision)
    }
}

const DIGESTS: &str = "
SELECT stream_id, span = 'day', starts, revision, sha256(content), next_leaf FROM monitoring_windows
WHERE (stream_id, span, starts, revision) > ($1, $2, $3, $4)
ORDER BY stream_id, span, starts, revision LIMIT 20000";

impl Reader {
    /// SHA-256 of the contents of all windows that were stored up to a cursor.
    pub async fn window_digests(&self, next_leaf: u64) -> Result<BTreeMap<WindowKey, [u8; 32]>, StoreError> {
        let mut digests = BTreeMap::new();
        let mut last = (-1, "", OffsetDateTime::UNIX_EPOCH, -1);
        loop {
            let page = sqlx::query_as::<_, (i32, bool, OffsetDateTime, i32, [u8; 32], i64)>(DIGESTS)
                .bind(last.0)
                .bind(last.1)
                .bind(last.2)
                .bind(last.3);
            let page = self.0.run(async |session| page.fetch_all(session).await).await?;
            let Some((stream, is_day, starts, revision, ..)) = page.last() else { return Ok(digests) };
            last = (*stream, if *is_day { "day" } else { "hour" }, *starts, *revision);
            for (stream, is_day, starts, revision, digest, stored_at) in page {
                let key = WindowKey { stream: stream as u32, is_day, starts, revision: revision as u32 };
                if (stored_at as u64) <= next_leaf {
                    digests.insert(key, digest);
                }
            }
        }
    }

    /// Ids of the alarms of leaves and labels before a cursor.
    pub async fn alarm_ids(&self, next_leaf: u64, next_label: u64) -> Result<Vec<Uuid>, StoreError> {
        let query = "SELECT alarm_id FROM monitoring_alarms
            WHERE opened_leaf < CASE WHEN detector IN ('misses', 'false_positives', 'calibration') THEN $2 ELSE $1 END";
        let query = sqlx::query_scalar(query).bind(next_leaf as i64).bind(next_label as i64);
        self.0.run(async |session| query.fetch_all(session).await).await
    }
}
