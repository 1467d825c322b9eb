//! The cohort of the figures with labels: images of the last days, with the labels known in time.

use super::work::Work;
use crate::store::{Lease, StoreError};
use monitoring::engine::StreamId;
use monitoring::performance::cohort::{Cohort, Drawn};
use std::collections::HashMap;
use time::{Duration, OffsetDateTime};

/// Days of images in the cohort, beyond the label delay.
const DAYS: i64 = 30;

/// What the database knows of the cohort, by stream.
pub(super) struct Cohorts {
    pub(super) from: OffsetDateTime,
    to: OffsetDateTime,
    known_within: Duration,
    predicted: HashMap<u32, u64>,
    drawn: HashMap<u32, Vec<Drawn>>,
}

impl Cohorts {
    /// The cohort that ends with the newest row; none before the first row.
    pub(super) async fn load(
        lease: &mut Lease,
        work: &Work,
        label_delay_days: u32,
    ) -> Result<Option<Self>, StoreError> {
        let Some(newest) = work.cursor().newest_row_at else { return Ok(None) };
        let delay = Duration::days(i64::from(label_delay_days));
        let to = newest.to_offset(time::UtcOffset::UTC).date().midnight().assume_utc() + Duration::DAY;
        let from = to - Duration::days(DAYS) - delay;
        let predicted = lease.predicted_since(from).await?;
        let mut drawn = HashMap::<u32, Vec<Drawn>>::new();
        for (stream, image) in lease.drawn_since(from).await? {
            drawn.entry(stream).or_default().push(image);
        }
        Ok(Some(Self { from, to, known_within: delay, predicted, drawn }))
    }

    /// Of one stream: in closed days and in what is still open.
    pub(super) fn of(&self, id: StreamId, work: &Work) -> Cohort {
        let closed = self.predicted.get(&id).copied().unwrap_or(0);
        let open = work.engine().streams()[id as usize].open_counts(self.from).n_predicted;
        Cohort { from: self.from, to: self.to, known_within: self.known_within, n_images: closed + open }
    }

    pub(super) fn drawn(&self, id: StreamId) -> &[Drawn] {
        self.drawn.get(&id).map_or(&[], Vec::as_slice)
    }
}
