//! Golden outputs: logits of generated radiographs that a variant must reproduce.

use super::contents::BundleFiles;
use anyhow::Result;
use cxr::bundle::Golden;
use cxr::phantom::{PhantomSpec, encode_png, generate};
use runtime::Session;

/// Seeds of the phantoms; those of odd seeds have an opacity.
pub(super) const SEEDS: std::ops::Range<u64> = 0..4;
/// Relative for logits above 1. Processors sum in different orders.
pub(crate) const TOLERANCE: f32 = 1e-3;
/// The same for int8: a last bit can flip the rounding of an 8-bit value, which moves a logit by about 0.01.
pub(crate) const TOLERANCE_INT8: f32 = 5e-2;

/// Runs the golden inputs and adds them to the files.
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

pub(crate) fn of(file: String, logit: f32, tolerance: f32) -> Golden {
    Golden { file, logit, tolerance: tolerance * logit.abs().max(1.0) }
}

pub(super) fn phantom(seed: u64, (width, height): (u32, u32)) -> Vec<u8> {
    generate(&PhantomSpec { seed, width, height, opacity: seed % 2 == 1 })
}
