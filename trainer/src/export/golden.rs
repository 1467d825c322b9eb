//! Golden outputs: generated radiographs with the logits that a variant must reproduce.

use super::contents::BundleFiles;
use anyhow::Result;
use cxr::bundle::Golden;
use cxr::phantom::{PhantomSpec, encode_png, generate};
use runtime::Session;

/// Phantoms whose logits a bundle carries; odd ones have an opacity.
pub(super) const SEEDS: std::ops::Range<u64> = 0..4;
/// Processors differ in the order of their sums; this much of a logit is still the same.
pub(crate) const TOLERANCE: f32 = 1e-3;
/// Where values are rounded to 8 bits on their way, a last bit can become a step of one of them, and that moves a logit by
/// about a hundredth.
pub(crate) const TOLERANCE_INT8: f32 = 5e-2;

/// Runs the golden inputs and adds their files.
pub(crate) fn golden(
    session: &mut Session,
    (width, height): (u32, u32),
    tolerance: f32,
    files: &mut BundleFiles,
) -> Result<Vec<Golden>> {
    SEEDS
        .map(|seed| {
            let pixels = phantom(seed, (width, height));
            let file = format!("golden/phantom-{seed}.png");
            files.insert(file.clone(), encode_png(&pixels, width, height));
            Ok(of(file, session.run(&pixels, 1)?.logits[0], tolerance))
        })
        .collect()
}

/// A golden output; `tolerance` is relative for logits above 1.
pub(crate) fn of(file: String, logit: f32, tolerance: f32) -> Golden {
    Golden { file, logit, tolerance: tolerance * logit.abs().max(1.0) }
}

/// The generated radiograph of a seed.
pub(super) fn phantom(seed: u64, (width, height): (u32, u32)) -> Vec<u8> {
    generate(&PhantomSpec { seed, width, height, opacity: seed % 2 == 1 })
}
