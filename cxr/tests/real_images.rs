//! Real radiographs, if present (`CXR_DATA_DIR`, else `../shared/data` beside the checkout): every file is
//! read, originals agree with their stored copies, and CLAHE agrees with OpenCV (`CXR_REFERENCE_PYTHON`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "what was skipped and measured is told")]

use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::{ClaheSpec, clahe, preprocess};
use cxr::{AcceptancePolicy, AcceptedImage, DecodeLimits, PreprocessSpec, RejectReason, decode};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn data(folder: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("CXR_DATA_DIR").map_or_else(beside, PathBuf::from).join(folder);
    if !path.is_dir() {
        println!("skipped: no real data ({folder} is not there; set CXR_DATA_DIR)");
        return None;
    }
    Some(path)
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.retain(|path| path.extension().is_some_and(|e| e != "csv"));
    found.sort();
    found
}

fn model_input(path: &Path) -> Vec<u8> {
    model_input_by(path, &PreprocessSpec::default())
}

fn model_input_by(path: &Path, spec: &PreprocessSpec) -> Vec<u8> {
    let read = |path: &Path| -> Result<AcceptedImage, cxr::Rejection> {
        let image = decode(&std::fs::read(path).unwrap(), &DecodeLimits::default())?;
        AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default())
    };
    let accepted = read(path).unwrap_or_else(|rejection| panic!("{}: {rejection}", path.display()));
    let pixels = preprocess(&accepted, spec).pixels().to_vec();
    assert_eq!(pixels.len(), 224 * 224);
    pixels
}

#[test]
fn every_radiograph_is_accepted() {
    for folder in ["kermany224", "kermany_originals", "nih_adult288"] {
        let Some(root) = data(folder) else { continue };
        let files = files(&root);
        for path in &files {
            model_input(path);
        }
        println!("{folder}: {} accepted", files.len());
    }
}

#[test]
fn originals_meet_the_model_like_their_stored_copies() {
    let (Some(originals), Some(copies)) = (data("kermany_originals"), data("kermany224")) else { return };
    let mean_difference = |spec: &PreprocessSpec| {
        let files = files(&originals);
        let sum: f64 = files
            .iter()
            .map(|original| {
                let copy = copies.join(original.strip_prefix(&originals).unwrap());
                let (a, b) = (model_input_by(original, spec), model_input_by(&copy, spec));
                let sum: u64 = a.iter().zip(&b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
                sum as f64 / a.len() as f64
            })
            .sum();
        println!(
            "{} pairs, {spec:?}: mean difference {:.3} grey levels",
            files.len(),
            sum / files.len() as f64
        );
        sum / files.len() as f64
    };
    // The copies were resized with the same filter and stored as JPEG of quality 75, which costs 1.57 levels.
    assert!((1.0..1.7).contains(&mean_difference(&PreprocessSpec::default())));
    let stored = PreprocessSpec { stored_jpeg_quality: Some(75), ..Default::default() };
    assert!(mean_difference(&stored) < 0.5);
    let clahe = Some(ClaheSpec { clip_limit: 2.0, tiles: [8, 8] });
    assert!(mean_difference(&PreprocessSpec { clahe, ..stored }) < 2.0);
}

#[test]
fn truncated_and_multi_page_files_of_the_field_are_refused() {
    let Some(root) = data("ood/decode_edge") else { return };
    let reason = |name: &str| {
        decode(&std::fs::read(root.join(name)).unwrap(), &DecodeLimits::default()).map_err(|e| e.reason)
    };
    assert_eq!(reason("truncated.jpg").unwrap_err(), RejectReason::Truncated);
    assert_eq!(reason("multipage_rgb.tif").unwrap_err(), RejectReason::TooManyFrames);
    assert!(reason("palette_color.png").is_ok());
    assert!(reason("chessboard_GRAY_U16.tif").is_ok());
}

#[test]
fn clahe_is_within_one_level_of_opencv() {
    let Some(python) = std::env::var_os("CXR_REFERENCE_PYTHON") else {
        println!("skipped: no OpenCV (scripts/venv.sh reference installs it; set CXR_REFERENCE_PYTHON)");
        return;
    };
    let Some(root) = data("kermany_originals") else { return };
    let inputs: Vec<Vec<u8>> = files(&root).iter().map(|path| model_input(path)).collect();
    // 8 x 8 and 4 x 7 divide 224; 5 x 6 and 9 x 8 do not and are padded.
    for (clip_limit, tiles) in [(2.0, [8, 8]), (0.5, [4, 7]), (40.0, [8, 8]), (3.0, [5, 6]), (2.0, [9, 8])] {
        let expected = opencv(&python, clip_limit, tiles, &inputs.concat());
        let mut worst = 0;
        for (input, expected) in inputs.iter().zip(expected.chunks_exact(224 * 224)) {
            let mut pixels = input.clone();
            clahe::apply(&mut pixels, 224, 224, &ClaheSpec { clip_limit, tiles });
            worst = pixels.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap().max(worst);
        }
        println!(
            "clip {clip_limit}, tiles {tiles:?}: at most {worst} levels apart on {} images",
            inputs.len()
        );
        assert!(worst <= 1);
    }
}

fn opencv(python: &std::ffi::OsStr, clip_limit: f64, tiles: [u32; 2], images: &[u8]) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/opencv_clahe.py");
    let mut child = Command::new(python)
        .arg(script)
        .args([clip_limit.to_string(), tiles[0].to_string(), tiles[1].to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = images.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout.len(), images.len());
    output.stdout
}
