//! The load of decoding an image, computed from its header.

use super::examine::{Failure, Stop};
use super::{Case, Pipeline};
use crate::worker_pool::Load;
use cxr::decode::{cost, sniff};
use cxr::image::Format;
use cxr::{RejectReason, Rejection};

impl Pipeline {
    /// Rejects an image that would not fit into the worker pool's memory.
    pub(super) async fn load(&self, case: &Case) -> Result<Load, Stop> {
        let (bytes, max) = (self.bytes_to_decode(case).await?, self.decoders.memory());
        if bytes > max {
            let (needed, available) = (bytes >> 20, max >> 20);
            return Err(Stop::Rejected(Rejection::new(
                RejectReason::TooManyPixels,
                format!("decoding needs up to {needed} MiB, but this service has {available} MiB for it"),
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
        // A TIFF directory can be as long as the file; the other headers take microseconds.
        if sniff(&image) == Some(Format::Tiff) {
            let found = self.decoders.run(move |_| cost::cost(&image, &limits)).await;
            return Ok(found.map_err(Failure::Decode)?);
        }
        Ok(cost::cost(&image, &limits))
    }
}
