//! PNG, 1 to 16 bits, grey, RGB, palette, with or without alpha (shown on black, as a viewer on a dark wall would).

use super::{check_frames, check_pixels, corrupt, deep, luma, truncated};
use crate::image::{ColourMode, DecodedImage, Format, Photometric, Windowing};
use crate::limits::DecodeLimits;
use crate::metadata::AcquisitionMetadata;
use crate::reject::Rejection;
use png::{BitDepth, ColorType, DecodingError, Transformations};
use std::io::Cursor;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<DecodedImage, Rejection> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: 64 << 20 });
    // Text and colour profiles are never used: not unpacking them leaves nothing to inflate or to leak.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(|error| refusal(&error))?;
    let (width, height, stored_depth, stored_colour) =
        (header.width, header.height, header.bit_depth, header.color_type);
    check_pixels(width.into(), height.into(), limits)?;
    let mut reader = decoder.read_info().map_err(|error| refusal(&error))?;
    check_frames(reader.info().animation_control().map_or(1, |control| control.num_frames), limits)?;
    let size = reader.output_buffer_size().ok_or_else(|| corrupt("the PNG's rows are too long"))?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(|error| refusal(&error))?;
    reader.finish().map_err(|error| refusal(&error))?;

    let wide = frame.bit_depth == BitDepth::Sixteen;
    let mut samples = if wide {
        let (values, _) = buffer.as_chunks::<2>();
        grey(values, frame.color_type, 65535, |bytes| u16::from_be_bytes(*bytes))
    } else {
        grey(&buffer, frame.color_type, 255, |byte| u16::from(*byte))
    };
    let colour = match stored_colour {
        ColorType::Grayscale | ColorType::GrayscaleAlpha => ColourMode::Grey,
        ColorType::Rgb | ColorType::Rgba => ColourMode::Rgb,
        ColorType::Indexed => ColourMode::Palette,
    };
    let (significant_bits, windowing) = if wide {
        deep(&samples)
    } else {
        (narrow(&mut samples, stored_depth, colour), Windowing::FullRange)
    };
    Ok(DecodedImage {
        width,
        height,
        samples,
        significant_bits,
        photometric: Photometric::Monochrome2,
        windowing,
        format: Format::Png,
        colour,
        metadata: AcquisitionMetadata::default(),
    })
}

/// One grey sample a pixel from stored values; `max` is opaque and white.
fn grey<T>(values: &[T], colour: ColorType, max: u32, sample: impl Fn(&T) -> u16) -> Vec<u16> {
    let on_black = |value: u16, alpha: u16| ((u32::from(value) * u32::from(alpha) + max / 2) / max) as u16;
    let rgb = |[r, g, b]: [&T; 3]| luma(sample(r), sample(g), sample(b));
    match colour {
        ColorType::Grayscale | ColorType::Indexed => values.iter().map(sample).collect(),
        ColorType::GrayscaleAlpha => {
            values.as_chunks::<2>().0.iter().map(|[v, a]| on_black(sample(v), sample(a))).collect()
        }
        ColorType::Rgb => values.as_chunks::<3>().0.iter().map(|[r, g, b]| rgb([r, g, b])).collect(),
        ColorType::Rgba => {
            values.as_chunks::<4>().0.iter().map(|[r, g, b, a]| on_black(rgb([r, g, b]), sample(a))).collect()
        }
    }
}

/// The decoder widens grey of 1, 2 and 4 bits to 8; this takes the samples back to the range that was stored.
fn narrow(samples: &mut [u16], stored: BitDepth, colour: ColourMode) -> u8 {
    let (bits, step) = match (colour, stored) {
        (ColourMode::Grey, BitDepth::One) => (1, 255),
        (ColourMode::Grey, BitDepth::Two) => (2, 85),
        (ColourMode::Grey, BitDepth::Four) => (4, 17),
        _ => return 8,
    };
    for sample in samples {
        *sample /= step;
    }
    bits
}

fn refusal(error: &DecodingError) -> Rejection {
    match error {
        DecodingError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
            truncated("PNG")
        }
        _ => corrupt("the PNG's chunks or compressed data contradict its header"),
    }
}
