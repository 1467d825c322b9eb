//! Rejections: one stable code per cause, with a sentence for the client.

use serde::{Deserialize, Serialize};

/// Stable reason codes. They appear in answers, audit rows and metric labels, so they are only added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The content is not JPEG, PNG or TIFF, whatever its name or media type says.
    UnrecognisedFormat,
    /// A supported format with unsupported pixels (CMYK, float, signed, 12-bit JPEG).
    UnsupportedPixelFormat,
    /// More bytes than the limit.
    TooManyBytes,
    /// More pixels than the limit, by the header.
    TooManyPixels,
    /// More frames or pages than the limit.
    TooManyFrames,
    /// The file ends before its pixels do.
    Truncated,
    /// The file contradicts its own format.
    Corrupt,
    /// The decoder panicked: a defect here, logged as an error.
    DecoderFailed,
    /// A side shorter than the policy's minimum.
    TooSmall,
    /// The longer side is too many times the shorter one.
    AspectRatio,
    /// Blank or nearly constant.
    Blank,
    /// The client's age, view or modality is invalid.
    InvalidMetadata,
    /// The client's age, view or modality is outside what the bundle accepts.
    UnsupportedMetadata,
}

impl RejectReason {
    /// All reasons.
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

    /// Code in answers, audit rows and labels.
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

/// A rejection: the code, what was found and what to do. Contains no pixels, names or identifiers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {found}", reason.code())]
pub struct Rejection {
    /// Stable code.
    pub reason: RejectReason,
    /// What was found, with numbers ("12 x 40 pixels, but the shorter side must be at least 96").
    pub found: String,
    /// What the client can do.
    pub advice: &'static str,
}

impl Rejection {
    pub fn new(reason: RejectReason, found: impl Into<String>, advice: &'static str) -> Self {
        Self { reason, found: found.into(), advice }
    }
}
