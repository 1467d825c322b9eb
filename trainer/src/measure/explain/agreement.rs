//! Checks the exported graph's map in ONNX Runtime against Grad-CAM by automatic differentiation in libtorch.

use super::maps::Maps;
use crate::onnx;
use crate::progress::say;
use crate::train::score::grey_nchw;
use crate::train::trained::TrainedRun;
use anyhow::{Result, ensure};
use runtime::{Runtime, SessionOptions};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Images to compare, evenly spread over the fold.
const N: usize = 32;
pub const TOLERANCE: f64 = 1e-3;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    pub n: usize,
    /// Largest `max|a - b| / max|a|` of an image's map, with `a` from automatic differentiation.
    pub largest_relative_difference: f64,
    pub tolerance: f64,
}

pub(super) fn measure(trained: &TrainedRun, maps: &Maps, onnxruntime: &Path) -> Result<Agreement> {
    let (architecture, size) = (trained.config.model.architecture, maps.pixels.size);
    let graph = onnx::encode(architecture, &trained.network.named_tensors(), size)?;
    let contract = onnx::contract(architecture, size);
    let mut session = Runtime::load(onnxruntime)?.session(&graph, &contract, &SessionOptions::default())?;
    let n = N.min(maps.pixels.len());
    let mut worst = 0.0f64;
    for position in (0..n).map(|i| i * maps.pixels.len() / n) {
        let images = grey_nchw(&maps.pixels, &[position], trained.device);
        let expected: Vec<f32> =
            Vec::try_from(trained.network.grad_cam(&images).contiguous().flatten(0, -1))?;
        let found = session.run(maps.pixels.image(position), 1)?.cam;
        let (n, n_expected) = (found.len(), expected.len());
        ensure!(n == n_expected, "a map has {n} values, expected {n_expected}");
        let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        for (a, b) in expected.iter().zip(&found) {
            let difference = f64::from((a - b).abs() / largest);
            // `f64::max` would drop a NaN, which must fail.
            if difference.is_nan() || difference > worst {
                worst = difference;
            }
        }
    }
    say(format!("Grad-CAM against the graph's map on {n} images: {worst:.1e} of the map's maximum"));
    ensure!(
        worst <= TOLERANCE,
        "the map of the exported graph is not Grad-CAM: relative difference {worst:e}, tolerance {TOLERANCE:e}"
    );
    Ok(Agreement { n, largest_relative_difference: worst, tolerance: TOLERANCE })
}
