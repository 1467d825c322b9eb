//! Time from bytes to model input for one image, compared with zune-jpeg and fast_image_resize alone.
//!
//! Both process the same files alternately, measured in processor time, so that a busy machine slows both
//! alike; the ratio within a turn is compared. "Alone" is what a short program would do: decode to luma,
//! resize 8-bit pixels with the triangle filter, allocate every buffer anew. It does not check that the file
//! is complete, apply the acceptance policy, compute statistics or make a JPEG round trip.

#![expect(clippy::print_stdout, reason = "a program that reports on its standard output")]

use cxr::metadata::AcquisitionMetadata;
use cxr::phantom::{PhantomSpec, generate};
use cxr::preprocess::{finish, preprocess_with};
use cxr::{AcceptancePolicy, AcceptedImage, Cancel, DecodeLimits, PreprocessSpec, Workspace, decode_with};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

const USAGE: &str = "\
usage: decode_bench [--turns N] [PATH ...]

Times decoding, acceptance and preprocessing as the bundle models/default asks, by turns with zune-jpeg and
fast_image_resize alone. Without PATH: a phantom of 2000 x 1600 pixels, grey, baseline JPEG of quality 90.
A PATH is a JPEG file, or a folder that is searched for them.

  --turns N   turns for each file, at least 3 (default 41)
  --help      this text";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut n_turns, mut paths) = (41, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            "--turns" => n_turns = arguments.next().ok_or(USAGE)?.parse()?,
            flag if flag.starts_with('-') => return Err(USAGE.into()),
            path => paths.push(PathBuf::from(path)),
        }
    }
    let files = if paths.is_empty() { vec![phantom()?] } else { read(&paths)? };
    let spec = PreprocessSpec { stored_jpeg_quality: Some(75), ..Default::default() };
    let (mut workspace, mut turns) = (Workspace::default(), Vec::new());
    for file in &files {
        // The first turn warms caches and buffers.
        let timed = (0..=n_turns.max(3)).map(|turn| Turn::of(&mut workspace, file, &spec, turn % 2 == 0));
        turns.extend(timed.skip(1));
    }
    report(files.len(), &turns);
    Ok(())
}

/// A grey radiograph of a detector's size, baseline, quality 90.
fn phantom() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let pixels = generate(&PhantomSpec { seed: 7, width: 2000, height: 1600, opacity: true });
    let mut file = Vec::new();
    jpeg_encoder::Encoder::new(&mut file, 90).encode(&pixels, 2000, 1600, jpeg_encoder::ColorType::Luma)?;
    println!("phantom: 2000 x 1600, quality 90, {} bytes", file.len());
    Ok(file)
}

fn read(paths: &[PathBuf]) -> std::io::Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inside: std::io::Result<Vec<PathBuf>> =
                path.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect();
            files.extend(read(&inside?)?);
        } else if is_jpeg(path) {
            files.push(std::fs::read(path)?);
        }
    }
    Ok(files)
}

fn is_jpeg(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jpg") || end.eq_ignore_ascii_case("jpeg"))
}

/// Times of one turn in milliseconds.
struct Turn {
    alone: f64,
    ours: f64,
    decode: f64,
    accept: f64,
    reduce: f64,
    stored: f64,
}

impl Turn {
    fn of(workspace: &mut Workspace, file: &[u8], spec: &PreprocessSpec, ours_first: bool) -> Self {
        let mut turn = Self { alone: 0.0, ours: 0.0, decode: 0.0, accept: 0.0, reduce: 0.0, stored: 0.0 };
        if ours_first {
            turn.ours(workspace, file, spec);
        }
        let started = now();
        black_box(alone(file));
        turn.alone = now() - started;
        if !ours_first {
            turn.ours(workspace, file, spec);
        }
        turn
    }

    fn ours(&mut self, workspace: &mut Workspace, file: &[u8], spec: &PreprocessSpec) {
        let begun = now();
        let image =
            decode_with(workspace, file, &DecodeLimits::default(), Cancel::NEVER).expect("a whole JPEG");
        self.decode = now() - begun;
        let started = now();
        let accepted =
            AcceptedImage::accept(image, AcquisitionMetadata::default(), &AcceptancePolicy::default())
                .expect("a radiograph");
        self.accept = now() - started;
        let started = now();
        let input = preprocess_with(workspace, &accepted, &spec.unfinished());
        self.reduce = now() - started;
        let started = now();
        black_box(finish(input.pixels().to_vec(), spec));
        self.stored = now() - started;
        workspace.reclaim(accepted);
        self.ours = now() - begun;
    }
}

fn alone(file: &[u8]) -> Vec<u8> {
    let grey = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), grey);
    let pixels: Vec<U8> = decoder.decode().expect("a whole JPEG").into_iter().map(U8::new).collect();
    let (width, height) = decoder.dimensions().expect("decoded");
    let source = TypedImageRef::new(width as u32, height as u32, &pixels).expect("width x height pixels");
    let mut target = TypedImage::<U8>::new(224, 224);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize_typed(&source, &mut target, &options).expect("sides above zero");
    target.pixels().iter().map(|pixel| pixel.0).collect()
}

/// Processor time of this thread in milliseconds. Other load on the machine counts only through the caches.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn report(n_files: usize, turns: &[Turn]) {
    println!("{n_files} files, {} turns; lower quartile, median, upper quartile", turns.len());
    let row = |name: &str, unit: &str, value: fn(&Turn) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        println!("{name:<34}{:>9.3}{:>9.3}{:>9.3} {unit}", at(0.25), at(0.5), at(0.75));
    };
    row("alone", "ms", |turn| turn.alone);
    row("ours", "ms", |turn| turn.ours);
    row("  decode", "ms", |turn| turn.decode);
    row("  accept (histogram)", "ms", |turn| turn.accept);
    row("  window, resize, statistics", "ms", |turn| turn.reduce);
    row("  stored JPEG", "ms", |turn| turn.stored);
    row("ours / alone", "", |turn| turn.ours / turn.alone);
    row("ours without stored JPEG / alone", "", |turn| (turn.ours - turn.stored) / turn.alone);
}
