//! Decoding takes no more memory than the estimate from the header, which the service reserves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::{PreprocessSpec, preprocess_with};
use cxr::{AcceptancePolicy, AcceptedImage, Cancel, DecodeLimits, Workspace, decode_with};
use jpeg_encoder::{ColorType as JpegColour, Encoder as JpegEncoder};
use png::{BitDepth, ColorType};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use tiff::encoder::{TiffEncoder, colortype};

const WIDTH: u32 = 2400;
const HEIGHT: u32 = 2000;
/// Allowance for tables, rows and the model's input.
const FIXED_BYTES: u64 = 2 << 20;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is passed to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn png(colour: ColorType, depth: BitDepth, bytes_a_pixel: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, WIDTH, HEIGHT);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Fast);
    if colour == ColorType::Indexed {
        encoder.set_palette((0..=255).flat_map(|v| [v, v, v]).collect::<Vec<u8>>());
        encoder.set_trns(vec![255; 256]);
    }
    let data: Vec<u8> = (0..(WIDTH * HEIGHT) as usize * bytes_a_pixel).map(|n| (n / 7 % 251) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
    file
}

fn jpeg(colour: JpegColour, progressive: bool) -> Vec<u8> {
    let n = if colour == JpegColour::Luma { 1 } else { 3 };
    let data: Vec<u8> = (0..(WIDTH * HEIGHT) as usize * n).map(|at| (at / 50 % 251) as u8).collect();
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new(&mut file, 80);
    encoder.set_progressive(progressive);
    encoder.encode(&data, WIDTH as u16, HEIGHT as u16, colour).unwrap();
    file
}

fn tiff<C: colortype::ColorType>(sample: impl Fn(usize) -> C::Inner) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut file = std::io::Cursor::new(Vec::new());
    let data: Vec<C::Inner> = (0..(WIDTH * HEIGHT) as usize).map(sample).collect();
    TiffEncoder::new(&mut file).unwrap().write_image::<C>(WIDTH, HEIGHT, &data).unwrap();
    file.into_inner()
}

/// The only test here, because all memory of the process is counted.
#[test]
fn an_image_takes_no_more_than_its_header_says() {
    let files = [
        ("PNG grey 8", png(ColorType::Grayscale, BitDepth::Eight, 1)),
        ("PNG grey 16", png(ColorType::Grayscale, BitDepth::Sixteen, 2)),
        ("PNG grey and alpha 16", png(ColorType::GrayscaleAlpha, BitDepth::Sixteen, 4)),
        ("PNG palette", png(ColorType::Indexed, BitDepth::Eight, 1)),
        ("PNG RGB 8", png(ColorType::Rgb, BitDepth::Eight, 3)),
        ("PNG RGBA 16", png(ColorType::Rgba, BitDepth::Sixteen, 8)),
        ("JPEG grey", jpeg(JpegColour::Luma, false)),
        ("JPEG colour", jpeg(JpegColour::Rgb, false)),
        ("JPEG grey, progressive", jpeg(JpegColour::Luma, true)),
        ("JPEG colour, progressive", jpeg(JpegColour::Rgb, true)),
        ("TIFF 8", tiff::<colortype::Gray8>(|n| (n / 7 % 251) as u8)),
        ("TIFF 16", tiff::<colortype::Gray16>(|n| (n % 4000) as u16)),
    ];
    let limits = DecodeLimits::default();
    let spec: PreprocessSpec = serde_json::from_str(
        r#"{"version": 1, "width": 224, "height": 224, "resize": "squash", "clahe": null}"#,
    )
    .unwrap();
    let mut wrong = Vec::new();
    for (name, file) in files {
        let estimate = cxr::decode::cost::cost(&file, &limits);
        let before = NOW.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let mut workspace = Workspace::default();
        let image = decode_with(&mut workspace, &file, &limits, Cancel::NEVER).unwrap();
        let policy = AcceptancePolicy::default();
        let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &policy).unwrap();
        drop(preprocess_with(&mut workspace, &accepted, &spec));
        let taken = (MOST.load(Ordering::Relaxed) - before) as u64;
        println!(
            "{name}: {:.1} bytes a pixel taken, {:.1} reserved",
            taken as f64 / f64::from(WIDTH * HEIGHT),
            estimate as f64 / f64::from(WIDTH * HEIGHT)
        );
        if taken > estimate + FIXED_BYTES {
            wrong.push(format!("{name}: {taken} taken, {estimate} reserved"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
