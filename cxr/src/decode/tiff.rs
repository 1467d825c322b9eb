//! TIFF with one grey channel of 8 or 16 bits, uncompressed or LZW, Deflate, PackBits.

use super::{DecodeError, check_frames, check_pixels, corrupt, deep, truncated, unsupported};
use crate::cancel::Cancel;
use crate::image::{ColourMode, DecodedImage, Format, Orientation, Photometric, Samples, Windowing};
use crate::limits::DecodeLimits;
use crate::metadata::AcquisitionMetadata;
use crate::reject::Rejection;
use std::io::Cursor;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

pub(super) fn decode(
    bytes: &[u8],
    limits: &DecodeLimits,
    cancel: Cancel<'_>,
) -> Result<DecodedImage, DecodeError> {
    let mut bounds = Limits::default();
    bounds.decoding_buffer_size = usize::try_from(limits.max_pixels.saturating_mul(2)).unwrap_or(usize::MAX);
    let decoder = Decoder::new(Cursor::new(bytes)).map_err(|error| refusal(&error))?;
    let mut decoder = decoder.with_limits(bounds);
    let (width, height) = decoder.dimensions().map_err(|error| refusal(&error))?;
    check_pixels(width.into(), height.into(), limits)?;
    if decoder.more_images() {
        check_frames(2, limits)?;
    }
    let colour = decoder.colortype().map_err(|error| refusal(&error))?;
    if !matches!(colour, ColorType::Gray(8 | 16)) {
        return Err(unsupported(format!("a TIFF with pixels of the kind {colour:?}")).into());
    }
    let white_is_zero = decoder
        .find_tag_unsigned::<u16>(Tag::PhotometricInterpretation)
        .map_err(|error| refusal(&error))?
        .is_some_and(|value| value == 0);
    cancel.check()?;
    let pixels = decoder.read_image().map_err(|error| refusal(&error))?;
    // The decoder turns WhiteIsZero round over the full 16 bits; stored values are wanted, of which 12 may be in use.
    let (samples, significant_bits, windowing) = match pixels {
        DecodingResult::U8(mut values) => {
            if white_is_zero {
                for value in &mut values {
                    *value = 255 - *value;
                }
            }
            (Samples::Narrow(values), 8, Windowing::FullRange)
        }
        DecodingResult::U16(mut values) => {
            if white_is_zero {
                for value in &mut values {
                    *value = u16::MAX - *value;
                }
            }
            let (bits, windowing) = deep(&values);
            (Samples::Wide(values), bits, windowing)
        }
        _ => return Err(unsupported("a TIFF whose samples are signed or floating point").into()),
    };
    if samples.len() as u64 != u64::from(width) * u64::from(height) {
        return Err(corrupt("the TIFF's strips do not fill its image").into());
    }
    Ok(DecodedImage {
        width,
        height,
        samples,
        significant_bits,
        photometric: if white_is_zero { Photometric::Monochrome1 } else { Photometric::Monochrome2 },
        windowing,
        format: Format::Tiff,
        colour: ColourMode::Grey,
        orientation: Orientation::Upright,
        metadata: AcquisitionMetadata::default(),
    })
}

fn refusal(error: &TiffError) -> Rejection {
    match error {
        TiffError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => truncated("TIFF"),
        TiffError::UnsupportedError(_) => {
            unsupported("a TIFF with a compression or layout that is not read here")
        }
        TiffError::LimitsExceeded => corrupt("the TIFF's strips or tags are larger than its image"),
        _ => corrupt("the TIFF's directory or compressed data contradict each other"),
    }
}
