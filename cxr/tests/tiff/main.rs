//! TIFF: supported files against a second writer, other files rejected by name, and hostile files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "what was skipped and measured is told")]

mod cases;
mod hostile;
mod libtiff;
mod matrix;
mod refusals;
mod writer;

use cxr::{DecodeLimits, DecodedImage, RejectReason, Rejection, decode};
use writer::{Picture, Spec};

fn read(file: &[u8]) -> Result<DecodedImage, Rejection> {
    decode(file, &DecodeLimits::default())
}

fn refusal(file: &[u8]) -> Rejection {
    read(file).map(|image| (image.width(), image.height())).unwrap_err()
}

/// Reason and part of the text of a rejection.
#[track_caller]
fn assert_rejected(file: &[u8], reason: RejectReason, found: &str) {
    let rejection = refusal(file);
    assert!(rejection.reason == reason && rejection.found.contains(found), "{rejection:?}");
}

/// Grey samples of a picture: its samples, or the luma of three channels.
fn grey(picture: &Picture) -> Vec<u16> {
    let pixels = picture.samples.chunks_exact(picture.channels);
    pixels.map(|pixel| if let [r, g, b, ..] = *pixel { luma([r, g, b]) } else { pixel[0] }).collect()
}

fn luma([red, green, blue]: [u16; 3]) -> u16 {
    let sum = 19595 * u64::from(red) + 38470 * u64::from(green) + 7471 * u64::from(blue);
    ((sum + 32768) >> 16) as u16
}

/// Decodes a file and compares every sample.
#[track_caller]
fn assert_same(file: &[u8], picture: &Picture, context: &dyn std::fmt::Debug) {
    let image = read(file).unwrap_or_else(|rejection| panic!("{context:?}: {rejection:?}"));
    assert_eq!(
        (image.width() as usize, image.height() as usize),
        (picture.width, picture.height),
        "{context:?}"
    );
    assert!(image.samples().as_ref() == grey(picture), "other samples: {context:?}");
    assert!(picture.bits > 8 || image.significant_bits() == picture.bits, "{context:?}");
}

fn small() -> (Picture, Spec) {
    (Picture::new(40, 30, 1, 8), Spec::default())
}
