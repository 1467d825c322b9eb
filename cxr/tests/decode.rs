//! Every supported encoding of one picture, and hostile files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cxr::image::{ColourMode, Photometric, Windowing};
use cxr::{DecodeLimits, DecodedImage, RejectReason, decode};
use jpeg_encoder::{ColorType as JpegColour, Encoder as JpegEncoder};
use png::{BitDepth, ColorType};
use tiff::encoder::{TiffEncoder, colortype};

const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;

/// A smooth picture whose samples use `bits` bits.
fn ramp(bits: u32) -> Vec<u16> {
    let max = (1u32 << bits) - 1;
    let span = (WIDTH - 1) + 2 * (HEIGHT - 1);
    (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| ((x + 2 * y) * max / span) as u16)).collect()
}

fn bytes(samples: &[u16]) -> Vec<u8> {
    samples.iter().map(|s| *s as u8).collect()
}

fn jpeg(pixels: &[u8], colour: JpegColour, progressive: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new(&mut file, 95);
    encoder.set_progressive(progressive);
    encoder.encode(pixels, WIDTH as u16, HEIGHT as u16, colour).unwrap();
    file
}

fn png(data: &[u8], colour: ColorType, depth: BitDepth, palette: Option<Vec<u8>>) -> Vec<u8> {
    png_sized(WIDTH, HEIGHT, data, colour, depth, palette)
}

fn png_sized(
    w: u32,
    h: u32,
    data: &[u8],
    colour: ColorType,
    depth: BitDepth,
    palette: Option<Vec<u8>>,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, w, h);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

fn tiff16(samples: &[u16]) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    TiffEncoder::new(&mut file).unwrap().write_image::<colortype::Gray16>(WIDTH, HEIGHT, samples).unwrap();
    file.into_inner()
}

fn read(file: &[u8]) -> DecodedImage {
    let image = decode(file, &DecodeLimits::default()).unwrap();
    assert_eq!((image.width(), image.height()), (WIDTH, HEIGHT));
    assert!(image.samples().iter().all(|s| u32::from(*s) < 1 << image.significant_bits()));
    image
}

fn reason(file: &[u8]) -> RejectReason {
    decode(file, &DecodeLimits::default()).unwrap_err().reason
}

fn worst(a: &[u16], b: &[u16]) -> u16 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn jpeg_grey_and_colour_baseline_and_progressive_give_the_same_luma() {
    let grey = ramp(8);
    let rgb: Vec<u8> = bytes(&grey).iter().flat_map(|v| [*v, *v, *v]).collect();
    for progressive in [false, true] {
        let image = read(&jpeg(&bytes(&grey), JpegColour::Luma, progressive));
        assert_eq!((image.colour(), image.significant_bits()), (ColourMode::Grey, 8));
        assert_eq!(
            (image.photometric(), image.windowing()),
            (Photometric::Monochrome2, Windowing::FullRange)
        );
        assert!(worst(&image.samples(), &grey) <= 3);
        let image = read(&jpeg(&rgb, JpegColour::Rgb, progressive));
        assert_eq!(image.colour(), ColourMode::Rgb);
        assert!(worst(&image.samples(), &grey) <= 3);
    }
}

#[test]
fn png_of_every_depth_keeps_its_stored_samples() {
    for bits in [1u8, 2, 4] {
        let samples = ramp(u32::from(bits));
        let per_byte = usize::from(8 / bits);
        let packed: Vec<u8> = samples
            .chunks(WIDTH as usize)
            .flat_map(|row| row.chunks(per_byte).map(|c| c.iter().fold(0, |byte, s| byte << bits | *s as u8)))
            .collect();
        let image = read(&png(&packed, ColorType::Grayscale, BitDepth::from_u8(bits).unwrap(), None));
        assert_eq!(image.significant_bits(), bits);
        assert_eq!(image.samples(), samples);
    }
    let eight = ramp(8);
    assert_eq!(read(&png(&bytes(&eight), ColorType::Grayscale, BitDepth::Eight, None)).samples(), eight);
    for bits in [10, 12, 16] {
        let samples = ramp(bits);
        let data: Vec<u8> = samples.iter().flat_map(|s| s.to_be_bytes()).collect();
        let image = read(&png(&data, ColorType::Grayscale, BitDepth::Sixteen, None));
        assert_eq!(u32::from(image.significant_bits()), bits);
        assert_eq!(image.samples(), samples);
        assert!(matches!(image.windowing(), Windowing::Quantiles { .. }));
    }
}

#[test]
fn an_index_beyond_the_palette_is_corrupt() {
    for (bits, depth) in [(8, BitDepth::Eight), (4, BitDepth::Four), (2, BitDepth::Two), (1, BitDepth::One)] {
        let n_colours = 1_usize << bits.min(7);
        let colours: Vec<u8> = (0..n_colours).flat_map(|level| [(level * 2) as u8; 3]).collect();
        let indices: Vec<usize> = (0..(WIDTH * HEIGHT) as usize).map(|pixel| pixel * 7 % n_colours).collect();
        let line = |row: &[usize]| {
            let mut packed = vec![0_u8; (row.len() * bits).div_ceil(8)];
            for (column, index) in row.iter().enumerate() {
                packed[column * bits / 8] |= (*index as u8) << (8 - bits - column * bits % 8);
            }
            packed
        };
        let packed = |indices: &[usize]| indices.chunks(WIDTH as usize).flat_map(line).collect::<Vec<u8>>();
        let whole = png(&packed(&indices), ColorType::Indexed, depth, Some(colours.clone()));
        let expected: Vec<u16> = indices.iter().map(|index| *index as u16 * 2).collect();
        assert_eq!(read(&whole).samples().as_ref(), expected, "{bits} bits");
        let last = n_colours - 1;
        let short = colours[..3 * last].to_vec();
        let beyond = png(&packed(&indices), ColorType::Indexed, depth, Some(short.clone()));
        assert_eq!(reason(&beyond), RejectReason::Corrupt, "{bits} bits");
        let unused: Vec<usize> = indices.iter().map(|index| *index.min(&(last - 1))).collect();
        assert!(
            decode(&png(&packed(&unused), ColorType::Indexed, depth, Some(short)), &DecodeLimits::default())
                .is_ok()
        );
    }
}

#[test]
fn a_png_that_says_its_grey_means_other_light_is_refused() {
    let levels = bytes(&ramp(8));
    let with = |set: &dyn Fn(&mut png::Info<'_>)| {
        let mut info = png::Info::with_size(WIDTH, HEIGHT);
        set(&mut info);
        let mut file = Vec::new();
        let encoder = png::Encoder::with_info(&mut file, info).unwrap();
        encoder.write_header().unwrap().write_image_data(&levels).unwrap();
        file
    };
    let gamma = |value: u32| with(&|info| info.source_gamma = Some(png::ScaledFloat::from_scaled(value)));
    let plain = read(&with(&|_| ()));
    for usual in [45_455, 41_667, 50_000] {
        assert_eq!(read(&gamma(usual)).samples(), plain.samples(), "{usual}");
    }
    for other in [100_000, 55_556, 35_000, 1] {
        assert_eq!(reason(&gamma(other)), RejectReason::UnsupportedPixelFormat, "{other}");
    }
    // cICP precedes IDAT: primaries, transfer function, matrix, full range.
    let coded = |transfer: u8| {
        let mut file = with(&|_| ());
        let mut chunk = b"cICP".to_vec();
        chunk.extend([1, transfer, 0, 1]);
        let mut sum = flate2::Crc::new();
        sum.update(&chunk);
        let whole = [&4_u32.to_be_bytes()[..], &chunk, &sum.sum().to_be_bytes()].concat();
        file.splice(33..33, whole);
        file
    };
    assert_eq!(read(&coded(13)).samples(), plain.samples());
    for other in [8, 16, 18] {
        assert_eq!(reason(&coded(other)), RejectReason::UnsupportedPixelFormat, "{other}");
    }
}

#[test]
fn png_colour_palette_and_alpha_become_grey() {
    let grey = ramp(8);
    let rgba = |alpha: u8| bytes(&grey).iter().flat_map(|v| [*v, *v, *v, alpha]).collect::<Vec<u8>>();
    let opaque = read(&png(&rgba(255), ColorType::Rgba, BitDepth::Eight, None));
    assert_eq!((opaque.samples().as_ref(), opaque.colour()), (grey.as_slice(), ColourMode::Rgb));
    let clear = read(&png(&rgba(0), ColorType::Rgba, BitDepth::Eight, None));
    assert!(clear.samples().iter().all(|s| *s == 0));
    let palette: Vec<u8> = (0..=255u8).flat_map(|v| [v, v, v]).collect();
    let indexed = read(&png(&bytes(&grey), ColorType::Indexed, BitDepth::Eight, Some(palette)));
    assert_eq!((indexed.samples().as_ref(), indexed.colour()), (grey.as_slice(), ColourMode::Palette));
    // BT.601: pure red, green and blue.
    let primaries: Vec<u8> = [[255, 0, 0], [0, 255, 0], [0, 0, 255]].concat();
    let image =
        decode(&png_sized(3, 1, &primaries, ColorType::Rgb, BitDepth::Eight, None), &DecodeLimits::default());
    assert_eq!(image.unwrap().samples().as_ref(), [76, 150, 29]);
}

#[test]
fn tiff_of_8_and_16_bits_is_read_and_white_is_zero_is_kept() {
    let eight = ramp(8);
    let mut file = std::io::Cursor::new(Vec::new());
    TiffEncoder::new(&mut file)
        .unwrap()
        .write_image::<colortype::Gray8>(WIDTH, HEIGHT, &bytes(&eight))
        .unwrap();
    assert_eq!(read(&file.into_inner()).samples(), eight);

    let twelve = ramp(12);
    let mut file = tiff16(&twelve);
    let image = read(&file);
    assert_eq!((image.samples().as_ref(), image.significant_bits()), (twelve.as_slice(), 12));
    // PhotometricInterpretation (262), SHORT, one value: BlackIsZero (1) to WhiteIsZero (0).
    let entry = [6, 1, 3, 0, 1, 0, 0, 0, 1, 0];
    let at = file.windows(entry.len()).position(|w| w == entry).unwrap();
    file[at + 8] = 0;
    let image = read(&file);
    assert_eq!(
        (image.samples().as_ref(), image.photometric()),
        (twelve.as_slice(), Photometric::Monochrome1)
    );
}

#[test]
fn what_has_no_grey_value_here_is_refused() {
    let cmyk: Vec<u8> = bytes(&ramp(8)).iter().flat_map(|v| [*v, 0, 0, 255 - *v]).collect();
    assert_eq!(reason(&jpeg(&cmyk, JpegColour::Cmyk, false)), RejectReason::UnsupportedPixelFormat);
    assert_eq!(reason(&jpeg(&cmyk, JpegColour::CmykAsYcck, false)), RejectReason::UnsupportedPixelFormat);
    let mut file = std::io::Cursor::new(Vec::new());
    let floats = vec![0.5f32; (WIDTH * HEIGHT) as usize];
    TiffEncoder::new(&mut file)
        .unwrap()
        .write_image::<colortype::Gray32Float>(WIDTH, HEIGHT, &floats)
        .unwrap();
    assert_eq!(reason(&file.into_inner()), RejectReason::UnsupportedPixelFormat);
    for other in [b"GIF89a\x01\0\x01\0".as_slice(), b"%PDF-1.7", b"", b"\xff\xd8", b"<svg/>", b"BM\0\0"] {
        assert!(matches!(reason(other), RejectReason::UnrecognisedFormat | RejectReason::Truncated));
    }
}

#[test]
fn a_dicom_file_is_never_read_as_what_its_preamble_imitates() {
    let mut file = tiff16(&ramp(16));
    file[128..132].copy_from_slice(b"DICM");
    assert_eq!(reason(&file), RejectReason::UnrecognisedFormat);
}

#[test]
fn every_cut_of_every_format_is_refused() {
    let grey = ramp(8);
    let files = [
        jpeg(&bytes(&grey), JpegColour::Luma, false),
        jpeg(&bytes(&grey), JpegColour::Luma, true),
        png(&bytes(&grey), ColorType::Grayscale, BitDepth::Eight, None),
        tiff16(&ramp(16)),
    ];
    for (kind, file) in files.iter().enumerate() {
        read(file);
        // A TIFF's directory follows its pixels and a PNG ends in an empty chunk, so every cut loses
        // something.
        for cut in (0..file.len()).step_by(7).chain(file.len() - 12..file.len()) {
            assert!(
                decode(&file[..cut], &DecodeLimits::default()).is_err(),
                "file {kind} cut at {cut} of {}",
                file.len()
            );
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let grey = ramp(8);
    let files = [
        jpeg(&bytes(&grey), JpegColour::Luma, false),
        jpeg(&bytes(&grey), JpegColour::Luma, true),
        png(&bytes(&grey), ColorType::Grayscale, BitDepth::Eight, None),
        tiff16(&ramp(16)),
    ];
    let limits = DecodeLimits { max_pixels: 1_000_000, ..Default::default() };
    for file in files {
        for at in 0..file.len().min(1500) {
            for flip in [0x01, 0x80, 0xFF] {
                let mut damaged = file.clone();
                damaged[at] ^= flip;
                if let Ok(image) = decode(&damaged, &limits) {
                    assert_eq!(
                        image.samples().len() as u64,
                        u64::from(image.width()) * u64::from(image.height())
                    );
                }
            }
        }
    }
}

#[test]
fn limits_are_enforced_from_the_header() {
    let file = png(&bytes(&ramp(8)), ColorType::Grayscale, BitDepth::Eight, None);
    let limits = |max_bytes, max_pixels| DecodeLimits { max_bytes, max_pixels, max_frames: 1 };
    let pixels = u64::from(WIDTH * HEIGHT);
    assert!(decode(&file, &limits(file.len(), pixels)).is_ok());
    let error = decode(&file, &limits(file.len() - 1, pixels)).unwrap_err();
    assert_eq!(error.reason, RejectReason::TooManyBytes);
    let error = decode(&file, &limits(file.len(), pixels - 1)).unwrap_err();
    assert_eq!((error.reason, error.found.contains("160 x 120")), (RejectReason::TooManyPixels, true));

    let mut pages = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut pages).unwrap();
    for _ in 0..2 {
        encoder.write_image::<colortype::Gray16>(WIDTH, HEIGHT, &ramp(16)).unwrap();
    }
    assert_eq!(reason(&pages.into_inner()), RejectReason::TooManyFrames);

    let mut animation = Vec::new();
    let mut encoder = png::Encoder::new(&mut animation, WIDTH, HEIGHT);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for _ in 0..2 {
        writer.write_image_data(&bytes(&ramp(8))).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(reason(&animation), RejectReason::TooManyFrames);
}
