//! The table `review_samples`: images that were drawn to be read.

use super::{Reader, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

/// A drawn image without a label. What the model said stays out: it would sway the reader.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DrawnImage {
    pub prediction_id: Uuid,
    pub received_at: OffsetDateTime,
    pub site: String,
    pub slice: String,
    pub model_version: Option<String>,
    pub variant: Option<String>,
    pub stratum: String,
    pub inclusion_probability: f64,
}

/// Without images whose rows retention has dropped: they can have no label.
const UNREAD: &str = "
SELECT drawn.prediction_id, drawn.received_at, site, slice, model_version, variant, stratum, inclusion_probability
FROM review_samples AS drawn JOIN monitoring_streams USING (stream_id)
WHERE ($1 IS NULL OR drawn.prediction_id > $1)
    AND NOT EXISTS (SELECT FROM labels WHERE labels.prediction_id = drawn.prediction_id)
    AND EXISTS (SELECT FROM predictions WHERE predictions.id = drawn.prediction_id)
ORDER BY drawn.prediction_id LIMIT $2";

impl Reader {
    /// Drawn images without a label, the oldest first, after the image `after`. Ids begin with their time.
    pub async fn unread_sample(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<DrawnImage>, StoreError> {
        let page = sqlx::query_as(UNREAD).bind(after).bind(limit as i64);
        self.0.run(async |session| page.fetch_all(session).await).await
    }
}
