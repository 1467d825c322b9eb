//! The decoded image: grey samples and what is needed to interpret them, independent of the file format.

mod orientation;
mod samples;

pub use orientation::Orientation;
pub(crate) use samples::Samples;

use crate::metadata::AcquisitionMetadata;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Meaning of the smallest sample (DICOM PS3.3 C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Photometric {
    /// The smallest value is white.
    Monochrome1,
    /// The smallest value is black.
    Monochrome2,
}
/// Window that maps samples to display values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Windowing {
    /// 0 to `2^significant_bits - 1` spans black to white: files that were windowed when they were written.
    FullRange,
    /// The window lies between two quantiles of the samples: files of more than 8 bits without a window.
    Quantiles {
        /// Fraction of samples at or below black.
        low: f64,
        /// Fraction of samples at or below white.
        high: f64,
    },
}

/// File format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// Portable Network Graphics.
    Png,
    /// Tagged Image File Format, or BigTIFF.
    Tiff,
}

impl Format {
    /// Label in audit rows and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Tiff => "tiff",
        }
    }

    /// Name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
        }
    }
}

/// Colour of the pixels in the file, before conversion to grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColourMode {
    Grey,
    Rgb,
    /// Indices into a palette.
    Palette,
}

impl ColourMode {
    /// Label in audit rows and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grey => "grey",
            Self::Rgb => "rgb",
            Self::Palette => "palette",
        }
    }
}

/// A decoded image: `width * height` grey samples, row-major and upright, each below `2^significant_bits`.
/// Only `decode` builds it.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedImage {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) samples: Samples,
    pub(crate) significant_bits: u8,
    pub(crate) photometric: Photometric,
    pub(crate) windowing: Windowing,
    pub(crate) format: Format,
    pub(crate) colour: ColourMode,
    /// Orientation stated in the file. Width, height and samples are of the upright image.
    pub(crate) orientation: Orientation,
    /// View, modality and age stated in the file; JPEG, PNG and TIFF state none.
    pub(crate) metadata: AcquisitionMetadata,
}

impl DecodedImage {
    /// Columns.
    pub const fn width(&self) -> u32 {
        self.width
    }
    /// Rows.
    pub const fn height(&self) -> u32 {
        self.height
    }
    /// Samples, row-major; copied if they are stored as bytes.
    pub fn samples(&self) -> Cow<'_, [u16]> {
        self.samples.widened()
    }
    /// Bits that carry information, 1 to 16.
    pub const fn significant_bits(&self) -> u8 {
        self.significant_bits
    }
    /// Whether the smallest sample is black or white.
    pub const fn photometric(&self) -> Photometric {
        self.photometric
    }
    /// Window that maps samples to display values.
    pub const fn windowing(&self) -> Windowing {
        self.windowing
    }
    /// File format.
    pub const fn format(&self) -> Format {
        self.format
    }
    /// Colour in the file.
    pub const fn colour(&self) -> ColourMode {
        self.colour
    }
    /// Orientation stated in the file; the samples here are upright.
    pub const fn orientation(&self) -> Orientation {
        self.orientation
    }
    /// View, modality and age stated in the file.
    pub const fn metadata(&self) -> &AcquisitionMetadata {
        &self.metadata
    }
    /// Largest possible sample.
    pub(crate) const fn max_value(&self) -> u16 {
        (((1u32 << self.significant_bits) - 1) & 0xFFFF) as u16
    }
}
