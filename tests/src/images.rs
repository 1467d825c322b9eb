//! Images for tests: phantoms in every encoding, and hostile files.

use crate::coefficients::{Layout, Picture, Scan, ZIGZAG};
use cxr::phantom::{PhantomSpec, encode_png, generate};
use jpeg_encoder::{ColorType, Encoder};
use std::io::Write;

/// Width of a phantom in pixels.
pub const WIDTH: u32 = 512;
/// Height of a phantom in pixels.
pub const HEIGHT: u32 = 416;

/// A generated radiograph, grey, row-major.
pub fn phantom(seed: u64, opacity: bool) -> Vec<u8> {
    generate(&PhantomSpec { seed, width: WIDTH, height: HEIGHT, opacity })
}

/// The phantom as PNG.
pub fn png(seed: u64, opacity: bool) -> Vec<u8> {
    encode_png(&phantom(seed, opacity), WIDTH, HEIGHT)
}

/// The phantom as JPEG of quality 90.
pub fn jpeg(seed: u64, opacity: bool) -> Vec<u8> {
    encode_jpeg(&phantom(seed, opacity), ColorType::Luma)
}

/// The phantom as a CMYK JPEG.
pub fn cmyk_jpeg(seed: u64) -> Vec<u8> {
    let inks: Vec<u8> = phantom(seed, false).iter().flat_map(|v| [0, 0, 0, 255 - *v]).collect();
    encode_jpeg(&inks, ColorType::Cmyk)
}

fn encode_jpeg(pixels: &[u8], colour: ColorType) -> Vec<u8> {
    let mut file = Vec::new();
    Encoder::new(&mut file, 90).encode(pixels, WIDTH as u16, HEIGHT as u16, colour).expect("valid pixels");
    file
}

/// The phantom as 16-bit TIFF with 12 bits in use.
pub fn tiff(seed: u64, opacity: bool) -> Vec<u8> {
    let samples: Vec<u16> = phantom(seed, opacity).iter().map(|v| u16::from(*v) << 4).collect();
    deep_tiff(&samples, (WIDTH, HEIGHT))
}

/// Grey samples as 16-bit TIFF.
pub fn deep_tiff(samples: &[u16], (width, height): (u32, u32)) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    tiff::encoder::TiffEncoder::new(&mut file)
        .and_then(|mut encoder| {
            encoder.write_image::<tiff::encoder::colortype::Gray16>(width, height, samples)
        })
        .expect("writing to memory");
    file.into_inner()
}

/// Grey samples as 16-bit PNG.
pub fn deep_png(samples: &[u16], (width, height): (u32, u32)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_be_bytes()).collect();
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes)).expect("writing to memory");
    file
}

/// A 16-bit RGBA PNG: 8 bytes per pixel in memory, a few hundred kilobytes as a file.
pub fn rgba16(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().expect("writing to memory");
    let mut stream = writer.stream_writer().expect("writing to memory");
    let row: Vec<u8> = (0..width).flat_map(|x| [(x % 200) as u8, 0, 9, 0, 9, 0, 255, 255]).collect();
    for _ in 0..height {
        stream.write_all(&row).expect("writing to memory");
    }
    stream.finish().expect("writing to memory");
    writer.finish().expect("writing to memory");
    file
}

/// Grey levels as PNG.
pub fn png_of(levels: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    encode_png(levels, width, height)
}

/// Slanted black and white stripes, which are out of distribution.
pub fn stripes() -> Vec<u8> {
    let levels: Vec<u8> = (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).map(move |x| if (x + y) / 24 % 2 == 0 { 20 } else { 235 }))
        .collect();
    encode_png(&levels, WIDTH, HEIGHT)
}

/// A constant image.
pub fn blank() -> Vec<u8> {
    encode_png(&vec![90; 300 * 300], 300, 300)
}

/// A small phantom that decodes quickly, as PNG.
pub fn small(seed: u64) -> Vec<u8> {
    let (width, height) = (144, 128);
    encode_png(
        &generate(&PhantomSpec { seed, width, height, opacity: seed.is_multiple_of(2) }),
        width,
        height,
    )
}

/// A radiograph of thumbnail size.
pub fn too_small() -> Vec<u8> {
    encode_png(&generate(&PhantomSpec { seed: 1, width: 80, height: 64, opacity: false }), 80, 64)
}

/// A valid PNG of 50,000 x 50,000 pixels of one bit, all black: 2.5 gigapixels in about 300 kB.
pub fn bomb() -> Vec<u8> {
    const SIDE: u32 = 50_000;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().expect("writing to memory");
    let mut stream = writer.stream_writer().expect("writing to memory");
    let row = vec![0; SIDE as usize / 8];
    for _ in 0..SIDE {
        stream.write_all(&row).expect("writing to memory");
    }
    stream.finish().expect("writing to memory");
    writer.finish().expect("writing to memory");
    file
}

/// A valid progressive JPEG of 40 megapixels that takes seconds to decode: 20 passes over 10-bit
/// coefficients.
pub fn slow() -> Vec<u8> {
    let mut scans = vec![Scan::bits(&[0], 0, 0, 0, 9), Scan::bits(&[0], 1, 63, 0, 9)];
    for low in (0..9).rev() {
        scans.extend([Scan::bits(&[0], 0, 0, low + 1, low), Scan::bits(&[0], 1, 63, low + 1, low)]);
    }
    let picture = Picture::new(7000, 5700, 1, &[(1, 1, 1)], |_, x, y| {
        let mut block = [0; 64];
        for (k, &at) in ZIGZAG[..24].iter().enumerate() {
            block[at] = ((x * 31 + y * 17 + k * 7) % 8) as i16 - 3;
        }
        block
    });
    picture.write(&Layout { scans, ..Layout::plain(0xC2, 1) })
}
