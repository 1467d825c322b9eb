//! Which way up the stored rows and columns are to be shown (Exif 3.0, tag 0x0112; TIFF 6.0, tag 274).

use serde::{Deserialize, Serialize};

/// Where the first stored row and the first stored column belong in the upright image; the number is the tag's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// Row on top, column at the left: stored upright.
    #[default]
    Upright = 1,
    /// Row on top, column at the right.
    MirroredHorizontally = 2,
    /// Row at the bottom, column at the right.
    Rotated180 = 3,
    /// Row at the bottom, column at the left.
    MirroredVertically = 4,
    /// Row at the left, column on top.
    Transposed = 5,
    /// Row at the right, column on top: turn by 90 degrees clockwise.
    Rotated90 = 6,
    /// Row at the right, column at the bottom.
    Transversed = 7,
    /// Row at the left, column at the bottom: turn by 270 degrees clockwise.
    Rotated270 = 8,
}

impl Orientation {
    /// From the tag's value; `None` for a value that the standards do not define.
    pub const fn from_tag(value: u32) -> Option<Self> {
        Some(match value {
            1 => Self::Upright,
            2 => Self::MirroredHorizontally,
            3 => Self::Rotated180,
            4 => Self::MirroredVertically,
            5 => Self::Transposed,
            6 => Self::Rotated90,
            7 => Self::Transversed,
            8 => Self::Rotated270,
            _ => return None,
        })
    }

    /// The tag's value, as rows hold it.
    pub const fn tag(self) -> u8 {
        self as u8
    }
}
