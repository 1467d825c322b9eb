//! Memory that decoding needs, estimated from the header before a pixel is allocated. The estimate is an
//! upper bound, so that the service can reserve it.

use super::{sniff, tiff};
use crate::image::Format;
use crate::limits::DecodeLimits;
use png::{BitDepth, ColorType};
use std::io::Cursor;

/// Bytes per pixel for the samples, their upright copy and preprocessing.
const GREY: u64 = 4;
/// 16-bit samples are copied once more to find the bits in use.
const DEEP: u64 = 2;
/// A progressive JPEG keeps the 16-bit coefficients of all components beside their samples.
const PROGRESSIVE: u64 = 14;
/// Most bytes per pixel of any accepted kind.
const MOST: u64 = 14;

/// Bytes that decoding and preprocessing may need beside the file itself. 0 for a file that is rejected
/// before pixels are allocated.
pub fn cost(bytes: &[u8], limits: &DecodeLimits) -> u64 {
    let of_a_pixel = match sniff(bytes) {
        Some(Format::Png) => png(bytes),
        Some(Format::Jpeg) => jpeg(bytes),
        Some(Format::Tiff) => {
            Some(tiff::size(bytes, limits).map_or((0, 0), |(n_pixels, sample_bytes)| {
                (n_pixels, (DEEP + 2) * (sample_bytes - 1) + GREY)
            }))
        }
        None => return 0,
    };
    // The decoder may understand a header that is not understood here.
    let Some((n_pixels, bytes_a_pixel)) = of_a_pixel else { return limits.max_pixels.saturating_mul(MOST) };
    if n_pixels > limits.max_pixels { 0 } else { n_pixels.saturating_mul(bytes_a_pixel) }
}

/// Largest [`cost`] of an image within these limits.
pub fn most(limits: &DecodeLimits) -> u64 {
    limits.max_pixels.saturating_mul(MOST)
}

fn png(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: 1 << 20 });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().ok()?;
    let channels = match header.color_type {
        ColorType::Grayscale => 1,
        // A palette image keeps indices and samples.
        ColorType::GrayscaleAlpha | ColorType::Indexed => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
    };
    let (sample_bytes, copies) = if header.bit_depth == BitDepth::Sixteen { (2, DEEP) } else { (1, 0) };
    let n_pixels = u64::from(header.width).saturating_mul(header.height.into());
    Some((n_pixels, channels * sample_bytes + GREY + copies))
}

/// Finds the frame header (ITU-T T.81 B.2.2) behind the segments before it.
fn jpeg(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut at = 2;
    loop {
        let marker = *bytes.get(at + 1)?;
        if bytes[at] != 0xFF {
            return None;
        }
        match marker {
            // Fill byte.
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            // DHT, JPG and DAC share the frame headers' range.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                let side =
                    |at: usize| Some(u64::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])));
                let n_pixels = side(at + 5)? * side(at + 7)?;
                let one_component = *bytes.get(at + 9)? == 1;
                let bytes_a_pixel = match (marker, one_component) {
                    // Only luma is kept.
                    (0xC0 | 0xC1, _) => GREY,
                    (_, true) => GREY + 2,
                    (_, false) => PROGRESSIVE,
                };
                return Some((n_pixels, bytes_a_pixel));
            }
            0xD9 | 0xDA => return None,
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]);
                at += 2 + usize::from(length.max(2));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{PhantomSpec, encode_png, generate};

    const LIMITS: DecodeLimits = DecodeLimits { max_bytes: 1 << 20, max_pixels: 1_000_000, max_frames: 1 };

    fn jpeg_of(progressive: bool, colour: jpeg_encoder::ColorType) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
        encoder.set_progressive(progressive);
        let n = if colour == jpeg_encoder::ColorType::Luma { 1 } else { 3 };
        encoder.encode(&vec![90; 64 * 48 * n], 64, 48, colour).unwrap();
        file
    }

    #[test]
    fn the_header_says_what_an_image_costs() {
        use jpeg_encoder::ColorType::{Luma, Rgb};
        let pixels = generate(&PhantomSpec { seed: 1, width: 64, height: 48, opacity: false });
        assert_eq!(cost(&encode_png(&pixels, 64, 48), &LIMITS), 64 * 48 * 5);
        assert_eq!(cost(&jpeg_of(false, Luma), &LIMITS), 64 * 48 * 4);
        assert_eq!(cost(&jpeg_of(false, Rgb), &LIMITS), 64 * 48 * 4);
        assert_eq!(cost(&jpeg_of(true, Luma), &LIMITS), 64 * 48 * 6);
        assert_eq!(cost(&jpeg_of(true, Rgb), &LIMITS), 64 * 48 * 14);
        let mut file = Cursor::new(Vec::new());
        ::tiff::encoder::TiffEncoder::new(&mut file)
            .and_then(|mut encoder| encoder.write_image::<::tiff::encoder::colortype::Gray16>(8, 4, &[7; 32]))
            .unwrap();
        assert_eq!(cost(&file.into_inner(), &LIMITS), 8 * 4 * 8);
    }

    #[test]
    fn what_is_refused_costs_nothing_and_what_is_not_understood_the_most() {
        let small = DecodeLimits { max_pixels: 100, ..LIMITS };
        assert_eq!(cost(&jpeg_of(false, jpeg_encoder::ColorType::Luma), &small), 0);
        assert_eq!(cost(b"no image", &LIMITS), 0);
        let whole = jpeg_of(false, jpeg_encoder::ColorType::Luma);
        assert_eq!(cost(&whole[..20], &LIMITS), most(&LIMITS));
    }
}
