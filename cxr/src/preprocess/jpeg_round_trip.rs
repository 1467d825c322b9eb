//! JPEG artefacts: what a grey image looks like after storage as JPEG.

use jpeg_encoder::{ColorType, Encoder};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Encodes as baseline JPEG of the given quality (the tables of ITU-T T.81 annex K, scaled as libjpeg does)
/// and decodes.
pub(crate) fn jpeg_round_trip(pixels: &[u8], width: u32, height: u32, quality: u8) -> Vec<u8> {
    let mut file = Vec::with_capacity(pixels.len() / 2);
    let encoder = Encoder::new(&mut file, quality);
    encoder
        .encode(pixels, width as u16, height as u16, ColorType::Luma)
        .expect("width x height pixels, sides of at most 2048, into memory");
    // By default the decoder converts grey to RGB.
    let grey = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    let decoded = JpegDecoder::new_with_options(ZCursor::new(&file), grey).decode();
    decoded.expect("the grey baseline file written above")
}
