//! Writes the seeds of the fuzz target `decode`: `cargo run --release -p cxr --example fuzz_seeds`. Those of
//! the other targets were written by hand.

use cxr::phantom::{PhantomSpec, generate};
use jpeg_encoder::Encoder;
use std::error::Error;
use std::io::Cursor;
use std::path::Path;
use tiff::encoder::colortype::{ColorType, Gray8, Gray16};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, TiffValue};

/// Just above the acceptance limits.
const WIDTH: u32 = 112;
const HEIGHT: u32 = 100;

type File = Result<Vec<u8>, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/decode");
    let grey = generate(&PhantomSpec { seed: 1, width: WIDTH, height: HEIGHT, opacity: true });
    let rgb: Vec<u8> = grey.iter().flat_map(|v| [*v, 255 - *v, *v / 2]).collect();
    let alpha: Vec<u8> = grey.iter().flat_map(|v| [*v, 200]).collect();
    let deep: Vec<u16> = grey.iter().map(|v| u16::from(*v) << 4).collect();
    let deep_bytes: Vec<u8> = deep.iter().flat_map(|v| v.to_be_bytes()).collect();
    let bits = &grey[..(WIDTH / 8 * HEIGHT) as usize];
    let files = [
        ("grey.png", png(&grey, png::ColorType::Grayscale, png::BitDepth::Eight)?),
        ("alpha.png", png(&alpha, png::ColorType::GrayscaleAlpha, png::BitDepth::Eight)?),
        ("bits.png", png(bits, png::ColorType::Grayscale, png::BitDepth::One)?),
        ("deep.png", png(&deep_bytes, png::ColorType::Grayscale, png::BitDepth::Sixteen)?),
        ("grey.jpeg", jpeg(&grey, jpeg_encoder::ColorType::Luma, false)?),
        ("colour.jpeg", jpeg(&rgb, jpeg_encoder::ColorType::Rgb, false)?),
        ("progressive.jpeg", jpeg(&grey, jpeg_encoder::ColorType::Luma, true)?),
        ("deflate.tiff", tiff::<Gray8>(&grey, Compression::Deflate(DeflateLevel::Best))?),
        ("deep-lzw.tiff", tiff::<Gray16>(&deep, Compression::Lzw)?),
        ("blank-packbits.tiff", tiff::<Gray8>(&vec![7; grey.len()], Compression::Packbits)?),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn png(samples: &[u8], colour: png::ColorType, depth: png::BitDepth) -> File {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header()?.write_image_data(samples)?;
    Ok(file)
}

fn jpeg(samples: &[u8], colour: jpeg_encoder::ColorType, progressive: bool) -> File {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 75);
    encoder.set_progressive(progressive);
    encoder.encode(samples, WIDTH as u16, HEIGHT as u16, colour)?;
    Ok(file)
}

fn tiff<C: ColorType>(samples: &[C::Inner], compression: Compression) -> File
where
    [C::Inner]: TiffValue,
{
    let mut file = Cursor::new(Vec::new());
    TiffEncoder::new(&mut file)?.with_compression(compression).write_image::<C>(WIDTH, HEIGHT, samples)?;
    Ok(file.into_inner())
}
