//! The image statistics against numpy (`CXR_REFERENCE_PYTHON`), on phantoms and, if present, on radiographs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "what was skipped and measured is told")]

use cxr::analysis::corrupt::{Corruption, corrupt};
use cxr::analysis::scoring::roc::auc;
use cxr::metadata::AcquisitionMetadata;
use cxr::phantom::{PhantomSpec, generate};
use cxr::preprocess::preprocess;
use cxr::statistics::ImageStatistics;
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits, PreprocessSpec, decode};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SIDE: u32 = 224;
const SIZE: (u32, u32) = (SIDE, SIDE);
/// Names of the statistics of version 2.
const NEW: [&str; 7] = [
    "border",
    "letters",
    "blockiness",
    "gradient_energy",
    "laplacian_variance",
    "homogeneity",
    "pattern_entropy_bits",
];

fn statistics_of_file(file: &[u8]) -> ImageStatistics {
    let image = decode(file, &DecodeLimits::default()).unwrap();
    let policy = AcceptancePolicy { min_spread: 0.0, ..AcceptancePolicy::default() };
    let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &policy).unwrap();
    *preprocess(&accepted, &PreprocessSpec::default()).statistics()
}

fn statistics(pixels: &[u8], (width, height): (u32, u32)) -> ImageStatistics {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    statistics_of_file(&file)
}

fn value(of: &ImageStatistics, name: &str) -> f64 {
    of.values()[ImageStatistics::NAMES.iter().position(|known| *known == name).unwrap()]
}

fn phantom(seed: usize, (width, height): (u32, u32)) -> Vec<u8> {
    generate(&PhantomSpec { seed: seed as u64, width, height, opacity: seed % 2 == 1 })
}

fn framed(mut pixels: Vec<u8>, level: u8, frame: u32) -> Vec<u8> {
    let is_frame = |at: u32| !(frame..SIDE - frame).contains(&at);
    for (at, pixel) in (0u32..).zip(&mut pixels) {
        if is_frame(at % SIDE) || is_frame(at / SIDE) {
            *pixel = level;
        }
    }
    pixels
}

/// Levels as shares of white.
fn mapped(pixels: &[u8], map: impl Fn(f64) -> f64) -> Vec<u8> {
    pixels.iter().map(|level| (map(f64::from(*level) / 255.0) * 255.0).round() as u8).collect()
}

fn stored(pixels: &[u8], size: (u32, u32), quality: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut file, quality);
    encoder.encode(pixels, size.0 as u16, size.1 as u16, jpeg_encoder::ColorType::Luma).unwrap();
    file
}

/// Two markers of 8 % of the height.
fn lettered(pixels: &[u8], image: usize) -> Vec<u8> {
    corrupt(pixels, SIZE, Corruption::BurnedInText, 3, 7, image)
}

#[test]
fn the_names_are_in_the_order_of_the_values_and_rows_have_them() {
    let found = statistics(&phantom(1, SIZE), SIZE);
    let row = serde_json::to_value(found).unwrap();
    for (name, value) in ImageStatistics::NAMES.into_iter().zip(found.values()) {
        assert_eq!(row[name].as_f64(), Some(value), "{name}");
    }
    assert_eq!(row.as_object().unwrap().len(), ImageStatistics::NAMES.len());
    assert_eq!(ImageStatistics::NAMES[11..], NEW);
}

#[test]
fn every_corruption_moves_its_statistic() {
    let mut pairs = Vec::new();
    for seed in 0..12 {
        let pixels = phantom(seed, SIZE);
        let clean = statistics_of_file(&stored(&pixels, SIZE, 75));
        let of = |pixels: &[u8]| statistics_of_file(&stored(pixels, SIZE, 75));
        let rises = |name: &'static str, changed: ImageStatistics, what: &str| {
            let (before, after) = (value(&clean, name), value(&changed, name));
            assert!(after > before, "{name} after {what} on phantom {seed}: {before} to {after}");
        };
        for level in [0, 255] {
            // Wider than the black margin that phantoms have.
            let changed = of(&framed(pixels.clone(), level, 24));
            assert!(changed.border > 24.0 / 224.0 - 1e-12, "{changed:?}");
            rises("border", changed, "a frame");
        }
        rises("letters", of(&lettered(&pixels, seed)), "letters");
        rises("blockiness", statistics_of_file(&stored(&pixels, SIZE, 30)), "JPEG of quality 30");
        let noisy = of(&corrupt(&pixels, SIZE, Corruption::GaussianNoise, 3, 7, seed));
        for name in ["gradient_energy", "laplacian_variance"] {
            rises(name, noisy, "noise");
        }
        let soft = of(&corrupt(&pixels, SIZE, Corruption::GaussianBlur, 4, 7, seed));
        rises("homogeneity", soft, "blur");
        pairs.push((clean, soft, noisy));
    }
    let moved = pairs.iter().filter(|(clean, soft, noisy)| {
        let bits = [clean, soft, noisy].map(|image| image.pattern_entropy_bits);
        (bits[1] - bits[0]).abs() > 0.02 && (bits[2] - bits[0]).abs() > 0.02
    });
    assert_eq!(moved.count(), pairs.len(), "the patterns of blur and noise differ from those of the image");
}

#[test]
fn a_jpeg_grid_is_seen_at_the_files_own_size_wherever_it_begins() {
    let size = (1000, 700);
    let pixels = phantom(3, size);
    let clean = statistics(&pixels, size).blockiness;
    let file = stored(&pixels, size, 30);
    let stored = statistics_of_file(&file).blockiness;
    assert!(stored > clean + 0.1, "{clean} to {stored}");
    // The decoded image without its first three columns and five rows, as after a crop.
    let image = image_levels(&file);
    let cropped: Vec<u8> = image.chunks_exact(1000).skip(5).flat_map(|row| &row[3..]).copied().collect();
    let cropped = statistics(&cropped, (997, 695)).blockiness;
    assert!((cropped - stored).abs() < 0.05, "{stored} to {cropped}");
    let flat = statistics(&vec![9; 224 * 224], SIZE);
    assert!(flat.values().iter().all(|value| value.is_finite()), "{flat:?}");
}

/// The levels of a JPEG file.
fn image_levels(file: &[u8]) -> Vec<u8> {
    let grey = zune_core::options::DecoderOptions::default()
        .jpeg_set_out_colorspace(zune_core::colorspace::ColorSpace::Luma);
    let reader = zune_core::bytestream::ZCursor::new(file);
    zune_jpeg::JpegDecoder::new_with_options(reader, grey).decode().unwrap()
}

#[test]
fn the_statistics_are_those_of_numpy() {
    let Some(python) = std::env::var_os("CXR_REFERENCE_PYTHON") else {
        println!("skipped: no numpy (scripts/venv.sh reference installs it; set CXR_REFERENCE_PYTHON)");
        return;
    };
    let mut noise = 1u32;
    let mut noise = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    };
    let mut images: Vec<Vec<u8>> = vec![(0..SIDE * SIDE).map(|_| noise()).collect(), vec![0; 224 * 224]];
    for seed in 0..6 {
        let pixels = phantom(seed, SIZE);
        images.push(framed(lettered(&pixels, seed), if seed % 2 == 0 { 0 } else { 255 }, 8));
        images.push(corrupt(&pixels, SIZE, Corruption::Jpeg, 2, 7, seed));
    }
    for (image, expected) in images.iter().zip(numpy(&python, SIZE, &images.concat())) {
        let found = statistics(image, SIZE);
        for (name, expected) in NEW.into_iter().zip(expected) {
            assert!((value(&found, name) - expected).abs() < 1e-9, "{name}: {found:?}, numpy {expected}");
        }
    }
    // In an image of another size only the grid is measured on the file's own pixels.
    for size in [(1000, 700), (515, 1203)] {
        let pixels = image_levels(&stored(&phantom(9, size), size, 40));
        let expected = numpy(&python, size, &pixels)[0][2];
        let found = statistics(&pixels, size).blockiness;
        assert!((found - expected).abs() < 1e-9, "{size:?}: {found}, numpy {expected}");
    }
}

fn numpy(python: &std::ffi::OsStr, size: (u32, u32), images: &[u8]) -> Vec<Vec<f64>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image_statistics.py");
    let mut child = Command::new(python)
        .arg(script)
        .args([size.0.to_string(), size.1.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The script reads everything before it writes.
    child.stdin.take().unwrap().write_all(images).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(' ').map(|value| value.parse().unwrap()).collect()).collect()
}

#[test]
fn shifts_of_real_radiographs_are_told_apart() {
    type Shift = fn(&[u8], usize) -> Vec<u8>;
    let Some(root) = radiographs() else { return };
    let images: Vec<Vec<u8>> =
        files(&root).iter().map(|file| image_levels(&std::fs::read(file).unwrap())).collect();
    let shifts: [(&str, Shift); 5] = [
        ("letters", lettered),
        ("JPEG 30", |pixels, image| corrupt(pixels, SIZE, Corruption::Jpeg, 2, 7, image)),
        ("border of 8 px", |pixels, _| framed(pixels.to_vec(), 0, 8)),
        ("contrast x 0.8", |pixels, _| mapped(pixels, |level| 0.5 + 0.8 * (level - 0.5))),
        ("gamma 1.2", |pixels, _| mapped(pixels, |level| level.powf(1.2))),
    ];
    let clean: Vec<ImageStatistics> = images.iter().map(|image| statistics(image, SIZE)).collect();
    println!("AUC of shifted against unshifted, {} images of the train split", images.len());
    let mut aucs = std::collections::BTreeMap::new();
    for (what, shift) in shifts {
        let shifted: Vec<ImageStatistics> =
            (0..).zip(&images).map(|(number, image)| statistics(&shift(image, number), SIZE)).collect();
        for name in ImageStatistics::NAMES {
            let values: Vec<f64> = clean.iter().chain(&shifted).map(|image| value(image, name)).collect();
            let is_shifted: Vec<bool> = (0..values.len()).map(|at| at >= clean.len()).collect();
            let auc = auc(&values, &is_shifted).unwrap();
            println!("{what:<16}{name:<22}{auc:.3}");
            aucs.insert((what, name), auc);
        }
    }
    assert!(aucs[&("letters", "letters")] > 0.9 && aucs[&("JPEG 30", "blockiness")] > 0.95);
    assert!(aucs[&("border of 8 px", "border")] > 0.9);
}

fn radiographs() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("CXR_DATA_DIR").map_or_else(beside, PathBuf::from).join("kermany224/train");
    if !path.is_dir() {
        println!("skipped: no real data (kermany224 is not there; set CXR_DATA_DIR)");
    }
    path.is_dir().then_some(path)
}

/// Of either class, 150 spread over all.
fn files(root: &Path) -> Vec<PathBuf> {
    let of_class = |class: &str| {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(root.join(class)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        (0..150).map(|i| files[i * files.len() / 150].clone()).collect::<Vec<_>>()
    };
    ["NORMAL", "PNEUMONIA"].into_iter().flat_map(of_class).collect()
}
