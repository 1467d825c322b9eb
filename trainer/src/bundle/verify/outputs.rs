//! Runs the graph in ONNX Runtime: tensors, golden outputs, activation maps.

use super::table::Verification;
use anyhow::{Context, Result, ensure};
use cxr::DecodeLimits;
use cxr::bundle::{Bundle, Golden, Manifest, Variant};
use runtime::{ModelOutputs, Session};
use std::path::Path;

/// The mean of an activation map is the logit minus the classifier's bias. This is how much the bias may
/// differ between images, relative to the largest logit or map value.
const CAM_TOLERANCE: f32 = 1e-3;

pub(super) fn check(
    table: &mut Verification,
    bundle: &Bundle,
    name: &str,
    variant: &Variant,
    library: &Path,
) -> Option<()> {
    let detail = "ONNX Runtime accepts the graph, its tensors are as stated";
    let session =
        crate::bundle::session(bundle, variant, library).map(|session| (session, detail.to_owned()));
    let mut session = table.check_value(&format!("session {name}"), session)?;
    let golden = golden(bundle, variant, &mut session);
    let outputs = table.check_value(&format!("golden {name}"), golden)?;
    table.check(&format!("cam {name}"), maps(&outputs))
}

fn golden(bundle: &Bundle, variant: &Variant, session: &mut Session) -> Result<(Vec<ModelOutputs>, String)> {
    let (mut outputs, mut largest) = (Vec::new(), 0.0f32);
    for golden in &variant.golden {
        let found = session.run(&golden_pixels(bundle, golden)?, 1)?;
        let difference = (found.logits[0] - golden.logit).abs();
        ensure!(
            difference <= golden.tolerance,
            "{}: the logit is {}, expected {} within {}",
            golden.file,
            found.logits[0],
            golden.logit,
            golden.tolerance
        );
        let reference = &bundle.reference().embedding;
        reference
            .locate(&found.embedding)
            .with_context(|| format!("{}: does not fit the graph's embedding", Manifest::REFERENCE))?;
        largest = largest.max(difference);
        outputs.push(found);
    }
    let n_batch = batched(bundle, variant, session)?;
    let n = outputs.len();
    Ok((outputs, format!("{n} logits alone and in a batch of {n_batch}, largest difference {largest:.1e}")))
}

/// Runs the golden inputs as one batch (of `fixed_batch`, if set); returns the size.
fn batched(bundle: &Bundle, variant: &Variant, session: &mut Session) -> Result<usize> {
    let n = variant.fixed_batch.map_or(variant.golden.len(), |n| n as usize);
    let members: Vec<&Golden> = variant.golden.iter().cycle().take(n).collect();
    let pixels: Vec<Vec<u8>> =
        members.iter().map(|golden| golden_pixels(bundle, golden)).collect::<Result<_>>()?;
    let found = session.run(&pixels.concat(), n)?;
    for (golden, logit) in members.iter().zip(&found.logits) {
        ensure!(
            (logit - golden.logit).abs() <= golden.tolerance,
            "{}: in a batch of {n} the logit is {logit}, expected {} within {}",
            golden.file,
            golden.logit,
            golden.tolerance
        );
    }
    Ok(n)
}

pub(crate) fn golden_pixels(bundle: &Bundle, golden: &Golden) -> Result<Vec<u8>> {
    let (file, spec) = (&golden.file, &bundle.manifest().preprocess);
    let bytes = bundle.file(file).with_context(|| format!("{file}: not in the bundle"))?;
    let image =
        cxr::decode(bytes, &DecodeLimits::default()).with_context(|| format!("{file}: cannot be decoded"))?;
    ensure!(
        (image.width(), image.height(), image.significant_bits()) == (spec.width, spec.height, 8),
        "{file}: not an 8-bit image of {} x {}",
        spec.width,
        spec.height
    );
    Ok(image.samples().iter().map(|sample| *sample as u8).collect())
}

/// Each map must have the stated size, and its mean must be the logit minus the classifier's bias.
fn maps(outputs: &[ModelOutputs]) -> Result<String> {
    let (mut constants, mut scale) = (Vec::new(), 1.0f32);
    for output in outputs {
        let (width, height) = output.cam_size;
        let expected = (width * height) as usize;
        ensure!(
            output.cam.len() == expected,
            "the map has {} values, expected {width} x {height}",
            output.cam.len()
        );
        ensure!(output.cam.iter().all(|value| value.is_finite()), "the map holds a value that is not finite");
        let mean = output.cam.iter().sum::<f32>() / expected as f32;
        constants.push(output.logits[0] - mean);
        scale = output.cam.iter().chain(&output.logits).fold(scale, |scale, value| scale.max(value.abs()));
    }
    let smallest = constants.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = constants.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    ensure!(
        largest - smallest <= CAM_TOLERANCE * scale,
        "the maps do not average to the logits: the difference varies from {smallest} to {largest}"
    );
    let (width, height) = outputs.first().map_or((0, 0), |output| output.cam_size);
    Ok(format!("{width} x {height}, averages to the logit"))
}
