//! Decoded to accepted: is this plausibly a radiograph that a model may be shown? Stable reason codes say why not.

use crate::histogram::SampleHistogram;
use crate::image::{DecodedImage, Samples};
use crate::metadata::AcquisitionMetadata;
use crate::reject::{RejectReason, Rejection};
use serde::{Deserialize, Serialize};

/// The gate; travels in the bundle, because a model is only measured on what passed it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptancePolicy {
    /// Shortest side in pixels.
    pub min_side_px: u32,
    /// Long side over short side.
    pub max_aspect_ratio: f64,
    /// Least distance between the 5th and the 95th percentile, as a share of the sample range in use.
    pub min_spread: f64,
}

impl Default for AcceptancePolicy {
    /// 96 pixels (the smallest published Kermany image has a side of 127), 1 to 4, 4 % (10 of 256 levels).
    fn default() -> Self {
        Self { min_side_px: 96, max_aspect_ratio: 4.0, min_spread: 0.04 }
    }
}

/// An image that passed the gate, with what is known of its acquisition. Only [`AcceptedImage::accept`] builds it.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedImage {
    image: DecodedImage,
    metadata: AcquisitionMetadata,
    pub(crate) histogram: SampleHistogram,
}

impl AcceptedImage {
    /// Applies the gate. What the caller states of the acquisition wins over what the file states.
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

    /// The image.
    pub const fn image(&self) -> &DecodedImage {
        &self.image
    }
    pub(crate) fn into_samples(self) -> Samples {
        self.image.samples
    }
    /// What is known of the acquisition.
    pub const fn metadata(&self) -> &AcquisitionMetadata {
        &self.metadata
    }
}
