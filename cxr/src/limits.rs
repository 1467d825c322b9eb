//! Limits on the cost of decoding an upload.

use serde::{Deserialize, Serialize};

/// Bounds that are enforced from the header, before pixels are allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeLimits {
    /// Largest encoded file in bytes.
    pub max_bytes: usize,
    /// Largest width times height. Decoding temporarily needs up to 10 bytes per pixel (16-bit RGBA).
    pub max_pixels: u64,
    /// Most frames (TIFF pages, APNG frames) in a file.
    pub max_frames: u32,
}

impl Default for DecodeLimits {
    /// 32 MiB, 40 megapixels (the largest mammography and CR detectors are below 30), one frame.
    fn default() -> Self {
        Self { max_bytes: 32 << 20, max_pixels: 40_000_000, max_frames: 1 }
    }
}
