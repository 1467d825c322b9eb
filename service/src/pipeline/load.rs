//! What decoding an image takes, known from its header.

use super::examine::{Failure, Stop};
use super::{Case, Pipeline};
use crate::worker_pool::Load;
use cxr::decode::{cost, sniff};
use cxr::image::Format;
use cxr::{RejectReason, Rejection};

impl Pipeline {
    /// Refuses an image that never fits into the memory for pixels.
    pub(super) async fn load(&self, case: &Case) -> Result<Load, Stop> {
        let (bytes, most) = (self.bytes_to_decode(case).await?, self.decoders.memory());
        if bytes > most {
            return Err(Stop::Rejected(Rejection::new(
                RejectReason::TooManyPixels,
                format!(
                    "decoding needs up to {} MiB, but this service has {} MiB for it",
                    bytes >> 20,
                    most >> 20
                ),
                "send the image at a lower resolution, or ask the operator for more memory",
            )));
        }
        Ok(Load::decoding(&case.actor, case.image.len(), bytes))
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
