//! Rejections of valid but unsupported TIFF files: what the file holds, and advice.

use crate::reject::{RejectReason, Rejection};

const OTHER_COMPRESSION: &str =
    "save the image as PNG, or as TIFF without compression or with LZW, Deflate or PackBits";
const OTHER_COLOUR: &str = "save the image as grey or RGB with 8 or 16 bits per sample";
const OTHER_SAMPLES: &str = "save the image with unsigned integer samples of 8 or 16 bits";
const OTHER_PREDICTOR: &str = "save the image without a predictor";
const NO_TRANSPARENCY: &str = "save the image without transparency";

fn unsupported(found: String, advice: &'static str) -> Rejection {
    Rejection::new(RejectReason::UnsupportedPixelFormat, found, advice)
}

pub(super) fn compression(number: u64) -> Rejection {
    let name = match number {
        2 | 32771 => "CCITT modified Huffman",
        3 => "CCITT Group 3 fax",
        4 => "CCITT Group 4 fax",
        5 => "old-style LZW (before 1988)",
        6 => "old-style JPEG",
        7 => "JPEG",
        32766 => "NeXT",
        32809 => "ThunderScan",
        32909 => "PixarLog",
        33003 | 33005 | 34712 => "JPEG 2000",
        34661 | 34663 => "JBIG",
        34676 | 34677 => "SGI LogLuv",
        34887 => "LERC",
        34892 => "lossy JPEG of DNG",
        34925 => "LZMA",
        50000 | 34926 => "Zstandard",
        50001 | 34927 => "WebP",
        50002 | 52546 => "JPEG XL",
        _ => "unknown",
    };
    unsupported(format!("a TIFF with {name} compression (Compression {number})"), OTHER_COMPRESSION)
}

pub(super) fn photometric(number: u64) -> Rejection {
    let name = match number {
        4 => "a transparency mask",
        5 => "CMYK or other inks",
        6 => "YCbCr colour",
        8..=10 => "L*a*b* colour",
        32803 => "a camera's colour filter array",
        32844 | 32845 => "LogLuv colour",
        34892 => "a camera's linear raw values",
        _ => "an unknown colour model",
    };
    unsupported(format!("a TIFF with {name} (PhotometricInterpretation {number})"), OTHER_COLOUR)
}

pub(super) fn sample_format(number: u64) -> Rejection {
    let name = match number {
        2 => "signed integer",
        3 => "floating-point",
        5 | 6 => "complex",
        _ => "unknown",
    };
    unsupported(format!("a TIFF with {name} samples (SampleFormat {number})"), OTHER_SAMPLES)
}

pub(super) fn bits(bits: u64) -> Rejection {
    unsupported(format!("a TIFF with {bits} bits per sample"), OTHER_SAMPLES)
}

pub(super) fn unequal_bits() -> Rejection {
    unsupported("a TIFF whose channels have different numbers of bits".into(), OTHER_SAMPLES)
}

pub(super) fn palette(bits: u64, n_channels: u64) -> Rejection {
    let found = format!("a TIFF palette image with {bits} bits per sample and {n_channels} channels");
    unsupported(found, OTHER_COLOUR)
}

pub(super) fn channels(n_channels: u64) -> Rejection {
    unsupported(format!("a TIFF with {n_channels} channels per pixel"), OTHER_COLOUR)
}

pub(super) fn predictor(number: u64, bits: u8) -> Rejection {
    unsupported(format!("a TIFF with Predictor {number} on samples of {bits} bits"), OTHER_PREDICTOR)
}

pub(super) fn transparent_white_is_zero() -> Rejection {
    unsupported("a TIFF with WhiteIsZero samples and transparency".into(), NO_TRANSPARENCY)
}

pub(super) fn padding(width: u64, height: u64) -> Rejection {
    let advice = "save the image in strips, or in smaller tiles";
    unsupported(
        format!("a TIFF whose tiles of {width} x {height} pixels are much larger than its image"),
        advice,
    )
}

pub(super) fn n_chunks(number: u64, name: &str) -> Rejection {
    unsupported(format!("a TIFF with {number} {name}s"), "save the image in larger strips or tiles")
}
