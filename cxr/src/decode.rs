//! Bytes to [`DecodedImage`]. The format is detected from the content and the limits are enforced from the
//! header. Each format has its own module.

mod cancellable_reader;
pub mod cost;
mod dicom;
mod exif;
mod jpeg;
mod png;
mod tiff;
mod upscaled;

use crate::cancel::{Cancel, Cancelled};
use crate::image::{DecodedImage, Format, Windowing};
use crate::limits::DecodeLimits;
use crate::reject::{RejectReason, Rejection};
use crate::workspace::Workspace;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Advice for damaged files.
const SEND_AGAIN: &str = "export the image again from its source and resend it";

/// Why decoding failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The file was rejected.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The caller cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Decodes a radiograph. File names and declared media types are ignored.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedImage, Rejection> {
    match decode_with(&mut Workspace::default(), bytes, limits, Cancel::NEVER) {
        Ok(image) => Ok(image),
        Err(DecodeError::Rejected(rejection)) => Err(rejection),
        Err(DecodeError::Cancelled(_)) => unreachable!("nothing asked to stop"),
    }
}

/// [`decode`] into buffers of the workspace, to be returned by [`Workspace::reclaim`]. Stops within
/// milliseconds once `cancel` requests it (docs/DECODE.md).
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
    let format = sniff(bytes).ok_or_else(|| unrecognised(bytes))?;
    let image = catch_panic(format, || match format {
        Format::Jpeg => jpeg::decode(workspace, bytes, limits, cancel),
        Format::Png => png::decode(workspace, bytes, limits, cancel),
        Format::Tiff => tiff::decode(workspace, bytes, limits, cancel),
    })?;
    Ok(upscaled::undo(image, cancel)?.upright(cancel)?)
}

/// Turns a panic in a decoder into a rejection. The decoder's buffers are lost.
fn catch_panic(
    format: Format,
    decode: impl FnOnce() -> Result<DecodedImage, DecodeError>,
) -> Result<DecodedImage, DecodeError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(Rejection::new(
            RejectReason::DecoderFailed,
            format!("the {} decoder failed on this file because of a defect in this service", format.title()),
            "save the image in another format (PNG, TIFF or baseline JPEG) and send that; report the request_id",
        )
        .into())
    })
}

fn unrecognised(bytes: &[u8]) -> Rejection {
    let (found, advice) = if bytes.is_empty() {
        ("the image is empty", "send the image file as the body, or in the form part named file")
    } else if dicom::is(bytes) {
        (
            "the content is DICOM, which is not supported",
            "export the image from the PACS or viewer as PNG, TIFF or JPEG and send that",
        )
    } else {
        ("the content is not JPEG, PNG or TIFF", "send the image file itself: JPEG, PNG or TIFF")
    };
    Rejection::new(RejectReason::UnrecognisedFormat, found, advice)
}

/// Whether the content is DICOM, which is not supported.
pub fn is_dicom(bytes: &[u8]) -> bool {
    dicom::is(bytes)
}

/// Format by the first bytes; `None` if unknown or DICOM.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    if dicom::is(bytes) {
        return None;
    }
    let begins_with: [(&[u8], Format); 6] = [
        (b"\xFF\xD8\xFF", Format::Jpeg),
        (b"\x89PNG\r\n\x1A\n", Format::Png),
        (b"II*\0", Format::Tiff),
        (b"MM\0*", Format::Tiff),
        // BigTIFF
        (b"II\x2B\0", Format::Tiff),
        (b"MM\0\x2B", Format::Tiff),
    ];
    begins_with.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, format)| format)
}

fn check_pixels(width: u64, height: u64, limits: &DecodeLimits) -> Result<(), Rejection> {
    if width == 0 || height == 0 {
        return Err(corrupt("the image has a side of zero pixels"));
    }
    if width.saturating_mul(height) > limits.max_pixels {
        return Err(Rejection::new(
            RejectReason::TooManyPixels,
            format!("{width} x {height} pixels, the limit is {} pixels in total", limits.max_pixels),
            "send the image at the resolution it was acquired at",
        ));
    }
    Ok(())
}

fn check_frames(frames: u32, limits: &DecodeLimits) -> Result<(), Rejection> {
    if frames > limits.max_frames {
        return Err(Rejection::new(
            RejectReason::TooManyFrames,
            format!("at least {frames} frames, the limit is {}", limits.max_frames),
            "send each image as a separate file",
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
        format!("the {format} file ends before its image data is complete"),
        SEND_AGAIN,
    )
}

/// Bits in use and window of 16-bit samples. Files that declare 16 bits often use fewer and carry no window,
/// so the window is taken from the samples: 0.1 % clipped at either end, so that a burned-in marker does not
/// darken the rest. `upscaled` handles files that hold only 8 bits.
fn depth_and_window(samples: &[u16]) -> (u8, Windowing) {
    let top = samples.iter().fold(0, |all, sample| all | sample);
    let bits = (16 - top.leading_zeros()).max(9) as u8;
    (bits, Windowing::Quantiles { low: 0.001, high: 0.999 })
}

/// ITU-R BT.601 luma in 16-bit fixed point. The weights sum to one, so 65535 stays 65535.
fn luma(red: u16, green: u16, blue: u16) -> u16 {
    ((19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + 32768) >> 16) as u16
}

fn luma_8_bit([r, g, b]: [u8; 3]) -> u8 {
    luma(r.into(), g.into(), b.into()) as u8
}

/// Pixels converted between two polls for cancellation: about a millisecond.
const POLL_PIXELS: usize = 1 << 20;

/// Reduces `N` bytes per pixel to one, in place.
fn merge<const N: usize>(
    bytes: &mut Vec<u8>,
    cancel: Cancel<'_>,
    grey: impl Fn([u8; N]) -> u8,
) -> Result<(), Cancelled> {
    let n_pixels = bytes.len() / N;
    for start in (0..n_pixels).step_by(POLL_PIXELS) {
        cancel.check()?;
        for pixel in start..n_pixels.min(start + POLL_PIXELS) {
            let mut stored = [0; N];
            stored.copy_from_slice(&bytes[pixel * N..(pixel + 1) * N]);
            bytes[pixel] = grey(stored);
        }
    }
    bytes.truncate(n_pixels);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_decoder_is_a_refusal_that_says_so() {
        let refused = catch_panic(Format::Png, || panic!("inside a decoder"));
        let Err(DecodeError::Rejected(rejection)) = refused else { panic!("{refused:?}") };
        assert_eq!(rejection.reason, RejectReason::DecoderFailed);
        assert!(rejection.found.contains("PNG") && !rejection.found.contains("inside"), "{rejection:?}");
        assert!(!rejection.advice.contains("again"), "{rejection:?}");
    }
}
