//! Why an image is refused: one stable code per cause, with a sentence for the person who sent it.

use serde::{Deserialize, Serialize};

/// Stable reason codes: they stand in answers, in the audit log and in metric labels, so they are only added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The content is none of the supported formats, whatever the name or media type says.
    UnrecognisedFormat,
    /// A supported container with pixels of a kind that is not read here (CMYK, float, signed, 12-bit JPEG), by name.
    UnsupportedPixelFormat,
    /// More bytes than the limit.
    TooManyBytes,
    /// More pixels than the limit; found in the header.
    TooManyPixels,
    /// More frames or pages than the limit.
    TooManyFrames,
    /// The file ends before its pixels do.
    Truncated,
    /// The file contradicts its own format.
    Corrupt,
    /// The decoder broke on the file: a defect here, logged as one.
    DecoderFailed,
    /// A side shorter than the policy's minimum.
    TooSmall,
    /// The long side is too many times the short one.
    AspectRatio,
    /// Blank or nearly constant.
    Blank,
    /// The caller's age, view or modality cannot be read.
    InvalidMetadata,
    /// The caller's age, view or modality is outside what the bundle accepts.
    UnsupportedMetadata,
}

impl RejectReason {
    /// Every reason, for documentation and for metrics that start at zero.
    pub const ALL: [Self; 13] = [
        Self::UnrecognisedFormat,
        Self::UnsupportedPixelFormat,
        Self::TooManyBytes,
        Self::TooManyPixels,
        Self::TooManyFrames,
        Self::Truncated,
        Self::Corrupt,
        Self::DecoderFailed,
        Self::TooSmall,
        Self::AspectRatio,
        Self::Blank,
        Self::InvalidMetadata,
        Self::UnsupportedMetadata,
    ];

    /// The code as it appears in answers, rows and labels.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnrecognisedFormat => "unrecognised_format",
            Self::UnsupportedPixelFormat => "unsupported_pixel_format",
            Self::TooManyBytes => "too_many_bytes",
            Self::TooManyPixels => "too_many_pixels",
            Self::TooManyFrames => "too_many_frames",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::DecoderFailed => "decoder_failed",
            Self::TooSmall => "too_small",
            Self::AspectRatio => "aspect_ratio",
            Self::Blank => "blank",
            Self::InvalidMetadata => "invalid_metadata",
            Self::UnsupportedMetadata => "unsupported_metadata",
        }
    }
}

/// A refusal: the code, what was found, and what to do about it. Holds no pixel, name or identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {found}", reason.code())]
pub struct Rejection {
    /// The stable code.
    pub reason: RejectReason,
    /// What was found, with numbers ("12 x 40 pixels, but the shorter side must be at least 96").
    pub found: String,
    /// What the sender can do.
    pub advice: &'static str,
}

impl Rejection {
    /// Builds a refusal.
    pub fn new(reason: RejectReason, found: impl Into<String>, advice: &'static str) -> Self {
        Self { reason, found: found.into(), advice }
    }
}
