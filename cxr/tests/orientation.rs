//! Files with an orientation tag give the same result as the upright file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::heatmap::{ColourScale, Evidence, render};
use cxr::image::Orientation;
use cxr::metadata::AcquisitionMetadata;
use cxr::phantom::{PhantomSpec, generate};
use cxr::preprocess::preprocess;
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits, DecodedImage, PreprocessSpec, decode};

const WIDTH: u32 = 161;
const HEIGHT: u32 = 120;

/// An Exif block as cameras write it, with one entry.
fn exif(orientation: u8) -> Vec<u8> {
    [b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0]]
        .concat()
}

/// Rows and sides of a file with this orientation that shows the upright picture.
fn stored(upright: &[u16], orientation: u8) -> (Vec<u16>, u32, u32) {
    let (width, height) = if orientation >= 5 { (HEIGHT, WIDTH) } else { (WIDTH, HEIGHT) };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| {
        let (right, bottom) = (width - 1 - x, height - 1 - y);
        // Position at which the standard shows the stored pixel (x, y).
        let (across, down) = match orientation {
            1 => (x, y),
            2 => (right, y),
            3 => (right, bottom),
            4 => (x, bottom),
            5 => (y, x),
            6 => (bottom, x),
            7 => (bottom, right),
            _ => (y, right),
        };
        upright[(down * WIDTH + across) as usize]
    });
    (pixels.collect(), width, height)
}

fn phantom() -> Vec<u16> {
    let levels = generate(&PhantomSpec { seed: 3, width: WIDTH, height: HEIGHT, opacity: true });
    levels.into_iter().map(u16::from).collect()
}

/// Position of the block: a PNG may have it before or after its pixels.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Before,
    After,
}

fn png(upright: &[u16], orientation: u8, deep: bool, place: Place) -> Vec<u8> {
    let (pixels, width, height) = stored(upright, orientation);
    let bytes: Vec<u8> = if deep {
        pixels.iter().flat_map(|level| (level << 4).to_be_bytes()).collect()
    } else {
        pixels.iter().map(|level| *level as u8).collect()
    };
    let mut file = Vec::new();
    let mut info = png::Info::with_size(width, height);
    info.color_type = png::ColorType::Grayscale;
    info.bit_depth = if deep { png::BitDepth::Sixteen } else { png::BitDepth::Eight };
    if place == Place::Before {
        info.exif_metadata = Some(exif(orientation).into());
    }
    let mut writer = png::Encoder::with_info(&mut file, info).unwrap().write_header().unwrap();
    writer.write_image_data(&bytes).unwrap();
    if place == Place::After {
        writer.write_chunk(png::chunk::eXIf, &exif(orientation)).unwrap();
    }
    writer.finish().unwrap();
    file
}

fn jpeg(pixels: &[u16], width: u32, height: u32, block: Option<&[u8]>) -> Vec<u8> {
    let bytes: Vec<u8> = pixels.iter().map(|level| *level as u8).collect();
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 100);
    if let Some(block) = block {
        encoder.add_app_segment(1, [b"Exif\0\0".as_slice(), block].concat()).unwrap();
    }
    encoder.encode(&bytes, width as u16, height as u16, jpeg_encoder::ColorType::Luma).unwrap();
    file
}

fn read(file: &[u8]) -> DecodedImage {
    decode(file, &DecodeLimits::default()).unwrap()
}

fn accept(image: DecodedImage) -> AcceptedImage {
    AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default()).unwrap()
}

#[test]
fn a_turned_file_gives_the_upright_answer_to_the_bit() {
    let upright = phantom();
    for deep in [false, true] {
        let expected = read(&png(&upright, 1, deep, Place::Before));
        let input = preprocess(&accept(expected.clone()), &PreprocessSpec::default());
        let cam: Vec<f32> = (0..49).map(|at| at as f32).collect();
        let evidence = Evidence {
            cam: &cam,
            cam_size: (7, 7),
            scale: ColourScale { low: 10.0, high: 40.0 },
            class: "PNEUMONIA",
        };
        let heatmap = render(&evidence, input.geometry());
        for orientation in 1..=8 {
            for place in [Place::Before, Place::After] {
                let image = read(&png(&upright, orientation, deep, place));
                assert_eq!(image.orientation(), Orientation::from_tag(orientation.into()).unwrap());
                assert_eq!((image.width(), image.height()), (WIDTH, HEIGHT), "orientation {orientation}");
                assert!(image.samples() == expected.samples(), "orientation {orientation}");
                let turned = preprocess(&accept(image), &PreprocessSpec::default());
                assert!(turned == input, "orientation {orientation}");
                assert!(render(&evidence, turned.geometry()) == heatmap, "orientation {orientation}");
            }
        }
        let drawn = read(&heatmap);
        assert_eq!(
            (drawn.width(), drawn.height()),
            (WIDTH, HEIGHT),
            "the heatmap lies over the upright image"
        );
    }
}

#[test]
fn a_turned_jpeg_is_the_upright_one_but_for_what_compression_loses() {
    let upright = phantom();
    for orientation in 1..=8 {
        let (pixels, width, height) = stored(&upright, orientation);
        let image = read(&jpeg(&pixels, width, height, Some(&exif(orientation))));
        assert_eq!(image.orientation(), Orientation::from_tag(orientation.into()).unwrap());
        assert_eq!((image.width(), image.height()), (WIDTH, HEIGHT));
        let worst = image.samples().iter().zip(&upright).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 6, "orientation {orientation}: {worst} levels");
    }
}

#[test]
fn a_block_that_says_nothing_is_as_if_it_were_not_there() {
    let pixels = phantom();
    let plain = read(&jpeg(&pixels, WIDTH, HEIGHT, None));
    let mut circular = exif(6);
    circular[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    for block in [&b""[..], b"II", b"MM\0\x2A", &exif(6)[..12], &exif(0), &exif(9), &circular, &[0xFF; 4000]]
    {
        let image = read(&jpeg(&pixels, WIDTH, HEIGHT, Some(block)));
        assert!(image == plain, "{block:?}");
    }
}
