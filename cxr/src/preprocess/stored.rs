//! The artefact of storage: what a grey image looks like after it was kept as a JPEG file.

use jpeg_encoder::{ColorType, Encoder};
use zune_core::bytestream::ZCursor;
use zune_jpeg::JpegDecoder;

/// Through a baseline JPEG file of the given quality (the tables of ITU-T T.81 annex K, scaled as libjpeg does) and back.
pub(super) fn as_jpeg(pixels: &[u8], width: u32, height: u32, quality: u8) -> Vec<u8> {
    let mut file = Vec::with_capacity(pixels.len() / 2);
    let encoder = Encoder::new(&mut file, quality);
    encoder
        .encode(pixels, width as u16, height as u16, ColorType::Luma)
        .expect("width x height pixels, sides of at most 2048, into memory");
    JpegDecoder::new(ZCursor::new(&file)).decode().expect("the grey baseline file written above")
}
