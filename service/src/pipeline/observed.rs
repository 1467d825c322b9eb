//! What the audit row says about an image before the model runs.

use cxr::image::{ColourMode, DecodedImage, Format, Orientation};
use cxr::metadata::AcquisitionMetadata;
use cxr::statistics::ImageStatistics;

#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// Present once the image is decoded.
    pub(super) image: Option<ImageFacts>,
    /// Age, view and modality from the request or the file.
    pub(super) metadata: AcquisitionMetadata,
    /// Present once the image is preprocessed.
    pub(super) statistics: Option<ImageStatistics>,
}

/// The decoded image without its pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageFacts {
    pub(super) format: Format,
    /// Width and height of the upright image, in pixels.
    pub(super) width: i32,
    pub(super) height: i32,
    /// Bits per sample that carry information.
    pub(super) significant_bits: u8,
    pub(super) colour: ColourMode,
    pub(super) orientation: Orientation,
}

impl From<&DecodedImage> for ImageFacts {
    fn from(image: &DecodedImage) -> Self {
        Self {
            format: image.format(),
            width: image.width() as i32,
            height: image.height() as i32,
            significant_bits: image.significant_bits(),
            colour: image.colour(),
            orientation: image.orientation(),
        }
    }
}
