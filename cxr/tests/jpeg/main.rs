//! JPEG in every arrangement: supported files are read correctly, others are rejected by name.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::print_stdout, reason = "what was skipped and counted is told")]

mod arrangements;
mod coefficients;
mod refused;
mod tools;

use cxr::{DecodeLimits, RejectReason, Rejection, decode};

/// The grey levels of a file.
fn grey(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let image = decode(file, &DecodeLimits::default())?;
    Ok(image.samples().iter().map(|sample| *sample as u8).collect())
}

fn worst(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// Whether a colour file with these samplings (luma first) is supported; `apart`: every scan holds one
/// component.
fn is_read(samplings: [(usize, usize); 3], apart: bool) -> bool {
    let width = samplings.iter().map(|sampling| sampling.0).max().unwrap();
    let height = samplings.iter().map(|sampling| sampling.1).max().unwrap();
    let whole_factors = samplings.iter().all(|(h, _)| *h != 3 && width % h == 0);
    samplings[0] == (width, height) && (apart || whole_factors)
}

fn assert_rejected_by_name(rejection: &Rejection) {
    assert_eq!(rejection.reason, RejectReason::UnsupportedPixelFormat, "{rejection:?}");
    assert!(
        rejection.found.starts_with("a JPEG ") && rejection.advice.contains("baseline JPEG"),
        "{rejection:?}"
    );
}
