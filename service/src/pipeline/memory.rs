//! Memory for the pixels of an image, before it is decoded: waited for within the deadline.

use super::examine::{Failure, Stop};
use super::patience::Impatience;
use super::{Case, Pipeline};
use crate::memory::Reserved;
use cxr::decode::{cost, sniff};
use cxr::image::Format;
use cxr::{RejectReason, Rejection};

impl Pipeline {
    /// Waits until what the header announces fits beside the images that are being decoded.
    pub(super) async fn room_to_decode(&self, case: &Case) -> Result<Reserved, Stop> {
        let budget = &self.memory.decoding;
        let bytes = self.bytes_to_decode(case).await?;
        if !budget.can_hold(bytes) {
            return Err(Stop::Rejected(Rejection::new(
                RejectReason::TooManyPixels,
                format!(
                    "decoding needs up to {} MiB, this service has {} MiB for it",
                    bytes >> 20,
                    budget.total_bytes() >> 20
                ),
                "send the image at a lower resolution, or ask the operator for more memory",
            )));
        }
        let deadline = tokio::time::Instant::from_std(case.patience.deadline());
        tokio::select! {
            reserved = budget.reserve(bytes) => reserved.ok_or(Stop::Dropped(Impatience::Expired)),
            () = case.patience.clone().gone() => Err(Stop::Dropped(Impatience::Abandoned)),
            () = tokio::time::sleep_until(deadline) => Err(Stop::Dropped(Impatience::Expired)),
        }
    }

    async fn bytes_to_decode(&self, case: &Case) -> Result<u64, Stop> {
        let (image, limits) = (case.image.clone(), self.limits);
        if image.len() > limits.max_bytes {
            return Ok(0);
        }
        // The directory of a TIFF can be as long as the file; the other headers are looked at in microseconds.
        if sniff(&image) == Some(Format::Tiff) {
            let found = self.decoders.run(move |_| cost::cost(&image, &limits)).await;
            return Ok(found.map_err(Failure::Decode)?);
        }
        Ok(cost::cost(&image, &limits))
    }
}
