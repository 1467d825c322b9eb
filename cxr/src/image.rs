//! The decoded image: grey samples and what is needed to interpret them. No format is named beyond a label.

mod orientation;
mod samples;

pub use orientation::Orientation;
pub(crate) use samples::Samples;

use crate::metadata::AcquisitionMetadata;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How stored values relate to brightness (DICOM PS3.3 C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Photometric {
    /// The smallest value is white.
    Monochrome1,
    /// The smallest value is black.
    Monochrome2,
}

/// How samples become display values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Windowing {
    /// 0 to 2^significant_bits - 1 spans black to white: files that were windowed when they were written.
    FullRange,
    /// The given fractions of the samples lie below black and below white: deep files that carry no window.
    Quantiles {
        /// Fraction of samples at or below black.
        low: f64,
        /// Fraction of samples at or below white.
        high: f64,
    },
}

/// The container an image came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
    /// TIFF.
    Tiff,
}

impl Format {
    /// The label used in rows and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Tiff => "tiff",
        }
    }

    /// The name as people write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
        }
    }
}

/// Colour of the stored pixels before they became grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColourMode {
    /// One channel.
    Grey,
    /// Three channels.
    Rgb,
    /// An index into a palette.
    Palette,
}

impl ColourMode {
    /// The label used in rows and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grey => "grey",
            Self::Rgb => "rgb",
            Self::Palette => "palette",
        }
    }
}

/// Grey samples, row-major, `width * height` of them, each below `2^significant_bits`. Only `decode` builds it.
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
    /// How the file says its pixels are stored. Width, height and samples here are of the upright image.
    pub(crate) orientation: Orientation,
    /// View, modality and age where the file itself states them (DICOM does, the others do not).
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
    /// Samples, row-major; copied where the image holds a byte a sample.
    pub fn samples(&self) -> Cow<'_, [u16]> {
        self.samples.widened()
    }
    /// Bits that carry information, 1 to 16.
    pub const fn significant_bits(&self) -> u8 {
        self.significant_bits
    }
    /// Whether the smallest value is black or white.
    pub const fn photometric(&self) -> Photometric {
        self.photometric
    }
    /// How samples become display values.
    pub const fn windowing(&self) -> Windowing {
        self.windowing
    }
    /// The container.
    pub const fn format(&self) -> Format {
        self.format
    }
    /// Colour before conversion.
    pub const fn colour(&self) -> ColourMode {
        self.colour
    }
    /// How the pixels were stored; they are upright here.
    pub const fn orientation(&self) -> Orientation {
        self.orientation
    }
    /// What the file states about the acquisition.
    pub const fn metadata(&self) -> &AcquisitionMetadata {
        &self.metadata
    }
    /// Largest value a sample can take.
    pub(crate) const fn max_value(&self) -> u16 {
        (((1u32 << self.significant_bits) - 1) & 0xFFFF) as u16
    }
}
