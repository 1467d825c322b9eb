//! Decoded to accepted: checks whether an image is plausibly a radiograph.

use crate::histogram::SampleHistogram;
use crate::image::{DecodedImage, Samples};
use crate::metadata::AcquisitionMetadata;
use crate::reject::{RejectReason, Rejection};
use serde::{Deserialize, Serialize};

/// Acceptance limits. Stored in the bundle, because the model was measured only on images that met them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptancePolicy {
    /// Least length of the shorter side, in pixels.
    pub min_side_px: u32,
    /// Largest ratio of the longer to the shorter side.
    pub max_aspect_ratio: f64,
    /// Least distance between the 5th and the 95th percentile, as a share of the sample range.
    pub min_spread: f64,
}

impl Default for AcceptancePolicy {
    /// 96 pixels (the smallest published Kermany image has a side of 127), 1 to 4, 4 % (10 of 256 levels).
    fn default() -> Self {
        Self { min_side_px: 96, max_aspect_ratio: 4.0, min_spread: 0.04 }
    }
}

/// An image within the acceptance limits, with its metadata. Only [`AcceptedImage::accept`] builds it.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedImage {
    image: DecodedImage,
    metadata: AcquisitionMetadata,
    pub(crate) histogram: SampleHistogram,
}

impl AcceptedImage {
    /// Checks the acceptance limits. The client's metadata take precedence over the file's.
    ///
    /// # Errors
    /// `TooSmall`, `AspectRatio` or `Blank`.
    pub fn accept(
        image: DecodedImage,
        metadata: AcquisitionMetadata,
        policy: &AcceptancePolicy,
    ) -> Result<Self, Rejection> {
        let (width, height) = (image.width, image.height);
        let (short, long) = (width.min(height), width.max(height));
        if short < policy.min_side_px {
            return Err(Rejection::new(
                RejectReason::TooSmall,
                format!(
                    "{width} x {height} pixels, but the shorter side must be at least {}",
                    policy.min_side_px
                ),
                "send the original, not a thumbnail",
            ));
        }
        if f64::from(long) > policy.max_aspect_ratio * f64::from(short) {
            return Err(Rejection::new(
                RejectReason::AspectRatio,
                format!(
                    "{width} x {height} pixels, but the longer side may be at most {} times the shorter",
                    policy.max_aspect_ratio
                ),
                "send one whole chest radiograph, not a strip or a montage",
            ));
        }
        let histogram = SampleHistogram::of(&image);
        let spread =
            f64::from(histogram.quantile(0.95) - histogram.quantile(0.05)) / f64::from(image.max_value());
        if spread < policy.min_spread {
            return Err(Rejection::new(
                RejectReason::Blank,
                format!(
                    "90 % of the pixels span only {:.1} % of the grey range, but at least {:.1} % is required",
                    spread * 100.0,
                    policy.min_spread * 100.0
                ),
                "check the exposure, and that this is the right image",
            ));
        }
        let metadata = metadata.or(image.metadata);
        Ok(Self { image, metadata, histogram })
    }

    /// The decoded image.
    pub const fn image(&self) -> &DecodedImage {
        &self.image
    }
    pub(crate) fn into_samples(self) -> Samples {
        self.image.samples
    }
    /// Metadata from the client and the file.
    pub const fn metadata(&self) -> &AcquisitionMetadata {
        &self.metadata
    }
}
