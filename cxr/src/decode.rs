//! Bytes to [`DecodedImage`]: the type found from content, the limits enforced from the header, one file a format.

mod jpeg;
mod png;
mod tiff;

use crate::cancel::{Cancel, Cancelled};
use crate::image::{DecodedImage, Format, Windowing};
use crate::limits::DecodeLimits;
use crate::reject::{RejectReason, Rejection};
use crate::workspace::Workspace;

/// Advice for files that are damaged.
const SEND_AGAIN: &str = "export the image again from its source and resend it";

/// Why there is no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The file is refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The caller asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Decodes a radiograph. Names and declared media types play no part.
///
/// # Errors
/// A [`Rejection`] whose reason is one of the decoding reasons of [`RejectReason`].
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedImage, Rejection> {
    match decode_with(&mut Workspace::default(), bytes, limits, Cancel::NEVER) {
        Ok(image) => Ok(image),
        Err(DecodeError::Rejected(rejection)) => Err(rejection),
        Err(DecodeError::Cancelled(_)) => unreachable!("nothing asked to stop"),
    }
}

/// [`decode`] into buffers of the workspace, which has them back by [`Workspace::reclaim`]. It stops between chunks
/// of the file once `cancel` says so.
///
/// # Errors
/// As [`decode`], and [`DecodeError::Cancelled`].
pub fn decode_with(
    workspace: &mut Workspace,
    bytes: &[u8],
    limits: &DecodeLimits,
    cancel: Cancel<'_>,
) -> Result<DecodedImage, DecodeError> {
    cancel.check()?;
    if bytes.len() > limits.max_bytes {
        return Err(Rejection::new(
            RejectReason::TooManyBytes,
            format!("{} bytes, the limit is {}", bytes.len(), limits.max_bytes),
            "send the image compressed, or at the resolution it was acquired at",
        )
        .into());
    }
    match sniff(bytes) {
        Some(Format::Jpeg) => jpeg::decode(workspace, bytes, limits).map_err(Into::into),
        Some(Format::Png) => png::decode(workspace, bytes, limits).map_err(Into::into),
        Some(Format::Tiff) => tiff::decode(workspace, bytes, limits, cancel),
        None if bytes.is_empty() => Err(Rejection::new(
            RejectReason::UnrecognisedFormat,
            "no bytes came",
            "send the image file itself as the body, or in the part named file of a form",
        )
        .into()),
        None => Err(Rejection::new(
            RejectReason::UnrecognisedFormat,
            "the content is not JPEG, PNG or TIFF",
            "send the image file itself: JPEG, PNG or TIFF",
        )
        .into()),
    }
}

/// The format that the first bytes announce.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    // A DICOM file may carry another format's header in its preamble (PS3.10 7.1), and its pixels are not that format's.
    if bytes.get(128..132) == Some(b"DICM") {
        return None;
    }
    // BigTIFF, which `guess_format` does not know.
    if bytes.starts_with(b"II\x2B\0") || bytes.starts_with(b"MM\0\x2B") {
        return Some(Format::Tiff);
    }
    match image::guess_format(bytes).ok()? {
        image::ImageFormat::Jpeg => Some(Format::Jpeg),
        image::ImageFormat::Png => Some(Format::Png),
        image::ImageFormat::Tiff => Some(Format::Tiff),
        _ => None,
    }
}

fn check_pixels(width: u64, height: u64, limits: &DecodeLimits) -> Result<(), Rejection> {
    if width == 0 || height == 0 {
        return Err(corrupt("the header gives a side of zero pixels"));
    }
    if width.saturating_mul(height) > limits.max_pixels {
        return Err(Rejection::new(
            RejectReason::TooManyPixels,
            format!("{width} x {height} pixels, the limit is {} in all", limits.max_pixels),
            "send the image at the resolution it was acquired at",
        ));
    }
    Ok(())
}

fn check_frames(frames: u32, limits: &DecodeLimits) -> Result<(), Rejection> {
    if frames > limits.max_frames {
        return Err(Rejection::new(
            RejectReason::TooManyFrames,
            format!("{frames} or more frames, the limit is {}", limits.max_frames),
            "send each image as a file of its own",
        ));
    }
    Ok(())
}

fn corrupt(found: impl Into<String>) -> Rejection {
    Rejection::new(RejectReason::Corrupt, found, SEND_AGAIN)
}

fn truncated(format: &str) -> Rejection {
    Rejection::new(
        RejectReason::Truncated,
        format!("the {format} file ends before its image does"),
        SEND_AGAIN,
    )
}

fn unsupported(found: impl Into<String>) -> Rejection {
    Rejection::new(
        RejectReason::UnsupportedPixelFormat,
        found,
        "convert the image to grey or RGB with 8 or 16 bits unsigned per sample",
    )
}

/// Deep files say 16 bits and use fewer, and carry no window: the bits in use are counted and the window is taken
/// from the samples (0.1 % at either end, so that a burned-in marker does not darken the rest).
fn deep(samples: &[u16]) -> (u8, Windowing) {
    let top = samples.iter().fold(0, |all, sample| all | sample);
    let bits = (16 - top.leading_zeros()).max(9) as u8;
    (bits, Windowing::Quantiles { low: 0.001, high: 0.999 })
}

/// ITU-R BT.601 luma in 16-bit fixed point; the weights sum to one, so 65535 stays 65535.
fn luma(red: u16, green: u16, blue: u16) -> u16 {
    ((19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + 32768) >> 16) as u16
}

fn narrow_luma([r, g, b]: [u8; 3]) -> u8 {
    luma(r.into(), g.into(), b.into()) as u8
}

/// `N` bytes a pixel become one, at the front of the same buffer.
fn merge<const N: usize>(bytes: &mut Vec<u8>, grey: impl Fn([u8; N]) -> u8) {
    let n_pixels = bytes.len() / N;
    for pixel in 0..n_pixels {
        let mut stored = [0; N];
        stored.copy_from_slice(&bytes[pixel * N..(pixel + 1) * N]);
        bytes[pixel] = grey(stored);
    }
    bytes.truncate(n_pixels);
}
