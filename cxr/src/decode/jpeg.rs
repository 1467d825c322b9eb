//! JPEG with DCT and Huffman coding: baseline, extended or progressive, grey or colour. If colour is stored
//! as YCbCr, only luma is decoded.
//!
//! `headers` parses the markers, `scan_selection` decides which scans are needed and rejects what is not
//! proven to be read correctly, `canonical` assembles the file that the decoder gets, and `part_reader` feeds
//! the decoder and stops it.

mod canonical;
mod frame;
mod headers;
mod part_reader;
mod scan_selection;
mod standard_tables;

use super::{DecodeError, check_pixels, corrupt, exif, luma_8_bit, merge, truncated};
use crate::cancel::{Cancel, Cancelled};
use crate::image::{ColourMode, DecodedImage, Format, Photometric, Samples, Windowing};
use crate::limits::DecodeLimits;
use crate::metadata::AcquisitionMetadata;
use crate::reject::Rejection;
use crate::workspace::Workspace;
use headers::{Headers, MAX_SCANS};
use part_reader::{PartReader, StopReason};
use scan_selection::{Output, ScanSelection};
use std::cell::Cell;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

/// Advice for valid files of an unsupported kind.
const JPEG_ADVICE: &str = "save the image as baseline JPEG, PNG or TIFF and send that";
/// Sides are 16-bit numbers.
const MAX_SIDE: usize = 65535;
/// Bytes between two polls for cancellation. A block takes at least 2 bits of a sequential file, so this is
/// about a millisecond; a few bytes of a progressive file can stand for 32767 blocks.
const SEQUENTIAL_STEP: usize = 4096;
const PROGRESSIVE_STEP: usize = 32;

pub(super) fn decode(
    workspace: &mut Workspace,
    bytes: &[u8],
    limits: &DecodeLimits,
    cancel: Cancel<'_>,
) -> Result<DecodedImage, DecodeError> {
    let headers = Headers::read(bytes)?;
    let (width, height) = (headers.frame.width.into(), headers.frame.height.into());
    check_pixels(width, height, limits)?;
    let selection = ScanSelection::of(&headers)?;
    cancel.check()?;
    let samples = read(workspace, &headers, &selection, cancel)?;
    let grey = headers.frame.components.len() == 1;
    Ok(DecodedImage {
        width: width as u32,
        height: height as u32,
        samples: Samples::Narrow(samples),
        significant_bits: 8,
        photometric: Photometric::Monochrome2,
        windowing: Windowing::FullRange,
        format: Format::Jpeg,
        colour: if grey { ColourMode::Grey } else { ColourMode::Rgb },
        orientation: headers.exif.and_then(exif::orientation).unwrap_or_default(),
        metadata: AcquisitionMetadata::default(),
    })
}

/// Decodes one sample per pixel.
fn read(
    workspace: &mut Workspace,
    headers: &Headers<'_>,
    selection: &ScanSelection,
    cancel: Cancel<'_>,
) -> Result<Vec<u8>, DecodeError> {
    let wanted = match selection.output {
        Output::SingleComponent | Output::Luma => ColorSpace::Luma,
        Output::YCbCr => ColorSpace::YCbCr,
        Output::Rgb => ColorSpace::RGB,
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(wanted);
    let parts = canonical::parts(headers, selection);
    let step = if headers.frame.progressive { PROGRESSIVE_STEP } else { SEQUENTIAL_STEP };
    let stop_reason = Cell::new(None);
    let mut decoder =
        JpegDecoder::new_with_options(PartReader::new(&parts, step, cancel, &stop_reason), options);
    let n_pixels = usize::from(headers.frame.width) * usize::from(headers.frame.height);
    let mut samples = workspace.zeroed(n_pixels * wanted.num_components());
    // The decoder's idea of the output size must agree.
    let read = decoder.decode_headers().and_then(|()| match decoder.output_buffer_size() {
        Some(size) if size == samples.len() => decoder.decode_into(&mut samples),
        _ => Err(DecodeErrors::FormatStatic("another size than the frame header gives")),
    });
    let broken: Option<DecodeError> = match (stop_reason.get(), read) {
        (Some(StopReason::Cancelled), _) => Some(Cancelled.into()),
        (Some(StopReason::OutOfData), _) => Some(truncated("JPEG").into()),
        (None, Err(error)) => Some(rejection(&error).into()),
        (None, Ok(())) => None,
    };
    if let Some(error) = broken {
        workspace.give_back(samples);
        return Err(error);
    }
    match selection.output {
        Output::SingleComponent | Output::Luma => {}
        Output::YCbCr => merge(&mut samples, cancel, |[luma, _, _]| luma)?,
        Output::Rgb => merge(&mut samples, cancel, luma_8_bit)?,
    }
    Ok(samples)
}

fn rejection(error: &DecodeErrors) -> Rejection {
    match error {
        DecodeErrors::ExhaustedData => truncated("JPEG"),
        // The decoder's message can quote bytes of the file, so it is not passed on.
        _ => corrupt("the JPEG's compressed data contradict its headers"),
    }
}
