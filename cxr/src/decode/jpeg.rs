//! JPEG, baseline and progressive, grey or colour. Luma comes straight from the file where it is stored as YCbCr.

use super::{check_pixels, corrupt, merge, narrow_luma, truncated, unsupported};
use crate::image::{ColourMode, DecodedImage, Format, Orientation, Photometric, Samples, Windowing};
use crate::limits::DecodeLimits;
use crate::metadata::AcquisitionMetadata;
use crate::reject::Rejection;
use crate::workspace::Workspace;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// A side of a JPEG is a 16-bit number.
const MAX_SIDE: usize = 65535;
/// A progressive file repeats whole-image passes as often as it likes; real encoders write about ten.
const MAX_SCANS: usize = 64;

pub(super) fn decode(
    workspace: &mut Workspace,
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<DecodedImage, Rejection> {
    // The decoder would fill what is missing with grey, which a model would read as if it were lung.
    let end = end_of_image(bytes).ok_or_else(|| truncated("JPEG"))?;
    let bytes = &bytes[..end];
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_max_scans(MAX_SCANS);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| refusal(&error))?;
    let info = decoder.info().ok_or_else(|| corrupt("the JPEG has no frame header"))?;
    check_pixels(info.width.into(), info.height.into(), limits)?;
    let stored = decoder.input_colorspace().ok_or_else(|| corrupt("the JPEG has no frame header"))?;
    let (wanted, colour) = match stored {
        ColorSpace::Luma => (ColorSpace::Luma, ColourMode::Grey),
        ColorSpace::YCbCr => (ColorSpace::Luma, ColourMode::Rgb),
        ColorSpace::RGB => (ColorSpace::RGB, ColourMode::Rgb),
        other => return Err(unsupported(format!("a JPEG with the colour space {other:?}"))),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let size = decoder.output_buffer_size().ok_or_else(|| corrupt("the JPEG has no frame header"))?;
    let mut samples = workspace.zeroed(size);
    if let Err(error) = decoder.decode_into(&mut samples) {
        workspace.give_back(samples);
        return Err(refusal(&error));
    }
    if wanted == ColorSpace::RGB {
        merge(&mut samples, narrow_luma);
    }
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    if samples.len() as u64 != u64::from(width) * u64::from(height) {
        return Err(corrupt("the JPEG's components do not fill its frame"));
    }
    Ok(DecodedImage {
        width,
        height,
        samples: Samples::Narrow(samples),
        significant_bits: 8,
        photometric: Photometric::Monochrome2,
        windowing: Windowing::FullRange,
        format: Format::Jpeg,
        colour,
        orientation: Orientation::Upright,
        metadata: AcquisitionMetadata::default(),
    })
}

fn refusal(error: &zune_jpeg::errors::DecodeErrors) -> Rejection {
    use zune_jpeg::errors::DecodeErrors as E;
    match error {
        E::Unsupported(what) => unsupported(format!("a JPEG of a kind that is not read here ({what:?})")),
        E::ExhaustedData => truncated("JPEG"),
        // The decoder's own text can quote bytes of the file, so it is not passed on.
        _ => corrupt("the JPEG's compressed data contradict its headers"),
    }
}

/// Walks the markers (ITU-T T.81 B.1.1) and returns the position after the first end-of-image; `None` if the file stops before it.
fn end_of_image(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    let mut in_scan = false;
    loop {
        let skipped = memchr::memchr(0xFF, bytes.get(at..)?)?;
        at += skipped + 1;
        let marker = *bytes.get(at)?;
        match marker {
            0xFF => {}
            0x00 | 0x01 | 0xD0..=0xD8 => at += 1,
            0xD9 => return Some(at + 1),
            _ if in_scan && marker < 0xC0 => at += 1,
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at + 1)?, *bytes.get(at + 2)?]);
                in_scan |= marker == 0xDA;
                at += 1 + usize::from(length.max(2));
            }
        }
    }
}
