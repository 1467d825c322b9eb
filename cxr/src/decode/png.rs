//! PNG: 1 to 16 bits, grey, RGB or palette, with or without alpha. Transparent pixels are shown on black.

mod palette;
mod transfer;

use super::cancellable_reader::CancellableReader;
use super::upscaled::Levels;
use super::{
    DecodeError, POLL_PIXELS, check_frames, check_pixels, corrupt, depth_and_window, exif, luma, luma_8_bit,
    merge, truncated,
};
use crate::cancel::{Cancel, Cancelled};
use crate::image::{ColourMode, DecodedImage, Format, Photometric, Samples, Windowing};
use crate::limits::DecodeLimits;
use crate::metadata::AcquisitionMetadata;
use crate::workspace::Workspace;
use png::{BitDepth, ColorType, DecodingError, OutputInfo, Reader, Transformations};

pub(super) fn decode(
    workspace: &mut Workspace,
    bytes: &[u8],
    limits: &DecodeLimits,
    cancel: Cancel<'_>,
) -> Result<DecodedImage, DecodeError> {
    let mut decoder =
        png::Decoder::new_with_limits(CancellableReader::new(bytes, cancel), png::Limits { bytes: 64 << 20 });
    // Text and colour profiles are never used. Skipping them avoids inflating them and leaves nothing to
    // leak.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(|error| self::error(&error))?;
    let (width, height, stored_depth, stored_colour) =
        (header.width, header.height, header.bit_depth, header.color_type);
    check_pixels(width.into(), height.into(), limits)?;
    // The decoder would turn an index beyond the palette into black.
    let expands = stored_colour != ColorType::Indexed;
    decoder.set_transformations(if expands { Transformations::EXPAND } else { Transformations::IDENTITY });
    let mut reader = decoder.read_info().map_err(|error| self::error(&error))?;
    transfer::check(reader.info())?;
    check_frames(reader.info().animation_control().map_or(1, |control| control.num_frames), limits)?;
    let size = reader.output_buffer_size().ok_or_else(|| corrupt("the PNG's rows are too long"))?;
    let mut buffer = workspace.zeroed(size);
    let frame = match whole(&mut reader, &mut buffer) {
        Ok(frame) => frame,
        Err(error) => {
            workspace.give_back(buffer);
            return Err(error);
        }
    };
    cancel.check()?;

    let colour = match stored_colour {
        ColorType::Grayscale | ColorType::GrayscaleAlpha => ColourMode::Grey,
        ColorType::Rgb | ColorType::Rgba => ColourMode::Rgb,
        ColorType::Indexed => ColourMode::Palette,
    };
    let (samples, significant_bits, windowing) = if stored_colour == ColorType::Indexed {
        let grey = palette::grey(reader.info(), &frame, &buffer, cancel);
        workspace.give_back(buffer);
        (Samples::Narrow(grey?), 8, Windowing::FullRange)
    } else if let Some(mut bytes) = undo_upscaling(&frame, &buffer, cancel)? {
        workspace.give_back(buffer);
        narrow(&mut bytes, frame.color_type, cancel)?;
        (Samples::Narrow(bytes), 8, Windowing::FullRange)
    } else if frame.bit_depth == BitDepth::Sixteen {
        let samples = wide(&buffer, frame.color_type, cancel)?;
        workspace.give_back(buffer);
        let (bits, windowing) = depth_and_window(&samples);
        (Samples::Wide(samples), bits, windowing)
    } else {
        narrow(&mut buffer, frame.color_type, cancel)?;
        let bits = stored_range(&mut buffer, stored_depth, colour, cancel)?;
        (Samples::Narrow(buffer), bits, Windowing::FullRange)
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
        orientation: reader.info().exif_metadata.as_deref().and_then(exif::orientation).unwrap_or_default(),
        metadata: AcquisitionMetadata::default(),
    })
}

/// The samples as bytes if all channels together hold only 256 levels in 16 bits. Tested before channels are
/// merged: grey made of three channels has levels of its own, as in an 8-bit file.
fn undo_upscaling(
    frame: &OutputInfo,
    buffer: &[u8],
    cancel: Cancel<'_>,
) -> Result<Option<Vec<u8>>, Cancelled> {
    if frame.bit_depth != BitDepth::Sixteen {
        return Ok(None);
    }
    let n_channels = frame.color_type.samples();
    let has_alpha = matches!(frame.color_type, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let samples = || buffer.as_chunks::<2>().0.iter().map(|bytes| u16::from_be_bytes(*bytes));
    if !has_alpha {
        let Some(levels) = Levels::of(samples(), cancel)? else { return Ok(None) };
        return levels.read(samples(), cancel).map(Some);
    }
    // Writers that shift the grey set an opaque alpha to 65535, so alpha keeps its high byte.
    let is_alpha = |position: usize| position % n_channels == n_channels - 1;
    let grey = samples().enumerate().filter(|(position, _)| !is_alpha(*position)).map(|(_, sample)| sample);
    let Some(levels) = Levels::of(grey, cancel)? else { return Ok(None) };
    let mut bytes = levels.read(samples(), cancel)?;
    let stored = buffer.chunks(2 * POLL_PIXELS * n_channels);
    for (piece, stored) in bytes.chunks_mut(POLL_PIXELS * n_channels).zip(stored) {
        cancel.check()?;
        let alphas = stored.as_chunks::<2>().0.iter().skip(n_channels - 1).step_by(n_channels);
        for (byte, alpha) in piece.iter_mut().skip(n_channels - 1).step_by(n_channels).zip(alphas) {
            *byte = alpha[0];
        }
    }
    Ok(Some(bytes))
}

/// Decodes the pixels and reads to the end of the file.
fn whole(reader: &mut Reader<CancellableReader<'_>>, buffer: &mut [u8]) -> Result<OutputInfo, DecodeError> {
    let frame = reader.next_frame(buffer).map_err(|error| self::error(&error))?;
    reader.finish().map_err(|error| self::error(&error))?;
    Ok(frame)
}

/// One grey sample per pixel from big-endian 16-bit values.
fn wide(bytes: &[u8], colour: ColorType, cancel: Cancel<'_>) -> Result<Vec<u16>, Cancelled> {
    let (values, _) = bytes.as_chunks::<2>();
    let n_values = colour.samples();
    let mut samples = Vec::with_capacity(values.len() / n_values);
    for piece in values.chunks(POLL_PIXELS * n_values) {
        cancel.check()?;
        wide_piece(piece, colour, &mut samples);
    }
    Ok(samples)
}

fn wide_piece(values: &[[u8; 2]], colour: ColorType, samples: &mut Vec<u16>) {
    let sample = |bytes: &[u8; 2]| u16::from_be_bytes(*bytes);
    let rgb = |[r, g, b]: [&[u8; 2]; 3]| luma(sample(r), sample(g), sample(b));
    match colour {
        ColorType::Grayscale | ColorType::Indexed => samples.extend(values.iter().map(sample)),
        ColorType::GrayscaleAlpha => {
            let (pixels, _) = values.as_chunks::<2>();
            samples.extend(pixels.iter().map(|[v, a]| on_black::<65535>(sample(v), sample(a))));
        }
        ColorType::Rgb => samples.extend(values.as_chunks::<3>().0.iter().map(|[r, g, b]| rgb([r, g, b]))),
        ColorType::Rgba => {
            let (pixels, _) = values.as_chunks::<4>();
            samples.extend(pixels.iter().map(|[r, g, b, a]| on_black::<65535>(rgb([r, g, b]), sample(a))));
        }
    }
}

/// One grey sample per pixel from bytes, in place.
fn narrow(bytes: &mut Vec<u8>, colour: ColorType, cancel: Cancel<'_>) -> Result<(), Cancelled> {
    let shown = |value: u8, alpha: u8| on_black::<255>(value.into(), alpha.into()) as u8;
    match colour {
        ColorType::Grayscale | ColorType::Indexed => Ok(()),
        ColorType::GrayscaleAlpha => merge(bytes, cancel, |[v, a]| shown(v, a)),
        ColorType::Rgb => merge(bytes, cancel, luma_8_bit),
        ColorType::Rgba => merge(bytes, cancel, |[r, g, b, a]| shown(luma_8_bit([r, g, b]), a)),
    }
}

/// A value composited over black; `OPAQUE` is the alpha of an opaque pixel and the value of white.
fn on_black<const OPAQUE: u32>(value: u16, alpha: u16) -> u16 {
    ((u32::from(value) * u32::from(alpha) + OPAQUE / 2) / OPAQUE) as u16
}

/// The decoder widens grey of 1, 2 and 4 bits to 8. Restores the stored range and returns its bits.
fn stored_range(
    samples: &mut [u8],
    stored: BitDepth,
    colour: ColourMode,
    cancel: Cancel<'_>,
) -> Result<u8, Cancelled> {
    let (bits, step) = match (colour, stored) {
        (ColourMode::Grey, BitDepth::One) => (1, 255),
        (ColourMode::Grey, BitDepth::Two) => (2, 85),
        (ColourMode::Grey, BitDepth::Four) => (4, 17),
        _ => return Ok(8),
    };
    for piece in samples.chunks_mut(POLL_PIXELS) {
        cancel.check()?;
        for sample in piece {
            *sample /= step;
        }
    }
    Ok(bits)
}

fn error(error: &DecodingError) -> DecodeError {
    match error {
        DecodingError::IoError(cause) if CancellableReader::is_cancellation(cause) => Cancelled.into(),
        DecodingError::IoError(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
            truncated("PNG").into()
        }
        _ => corrupt("the PNG's chunks or compressed data contradict its header").into(),
    }
}
