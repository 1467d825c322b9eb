//! TIFF and BigTIFF: grey, RGB or palette, 1 to 16 bits, strips or tiles; uncompressed, LZW, Deflate or
//! PackBits. Other files are rejected by name.
//!
//! Directories and chunks are read by our own code, so that the cost of a hostile file is bounded: offsets
//! are checked before they are read, chunks do not overlap, and memory is limited to the image and pieces of
//! a row. Libraries decode LZW and Deflate.

mod cancel_poll;
mod chunks;
mod codec;
mod directory;
mod grey;
mod layout;
mod pixels;
mod sample;
mod stream;
mod unsupported;

use super::{DecodeError, depth_and_window};
use crate::cancel::Cancel;
use crate::image::{DecodedImage, Format, Samples, Windowing};
use crate::limits::DecodeLimits;
use crate::metadata::AcquisitionMetadata;
use crate::workspace::Workspace;
use chunks::Chunks;
use layout::Layout;

/// Number of pixels and bytes per sample; `None` if the file is rejected before a pixel is allocated.
pub(super) fn size(bytes: &[u8], limits: &DecodeLimits) -> Option<(u64, u64)> {
    let directory = directory::image(bytes, limits).ok()?;
    let layout = Layout::of(&directory, limits).ok()?;
    Some((layout.n_pixels() as u64, if layout.bits <= 8 { 1 } else { 2 }))
}

pub(super) fn decode(
    workspace: &mut Workspace,
    bytes: &[u8],
    limits: &DecodeLimits,
    cancel: Cancel<'_>,
) -> Result<DecodedImage, DecodeError> {
    let directory = directory::image(bytes, limits)?;
    let layout = Layout::of(&directory, limits)?;
    let chunks = Chunks::of(&directory, &layout)?;
    cancel.check()?;
    let (samples, significant_bits, windowing) = if layout.bits <= 8 {
        let mut samples = workspace.zeroed(layout.n_pixels());
        if let Err(error) = pixels::read(&chunks, &layout, &mut samples, cancel) {
            workspace.give_back(samples);
            return Err(error);
        }
        (Samples::Narrow(samples), layout.grey_bits(), Windowing::FullRange)
    } else {
        let samples = pixels::read_16_bit(&chunks, &layout, cancel)?;
        let (bits, windowing) = match &samples {
            Samples::Wide(samples) => depth_and_window(samples),
            Samples::Narrow(_) => (8, Windowing::FullRange),
        };
        (samples, bits, windowing)
    };
    Ok(DecodedImage {
        width: layout.width,
        height: layout.height,
        samples,
        significant_bits,
        photometric: layout.photometric,
        windowing,
        format: Format::Tiff,
        colour: layout.colour.mode(),
        orientation: layout.orientation,
        metadata: AcquisitionMetadata::default(),
    })
}
