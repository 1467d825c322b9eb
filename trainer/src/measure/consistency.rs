//! Consistency: does an untouched original get the same answer as the small JPEG copy that the network was trained and
//! measured on? Both go the service's way: decode, accept, preprocess, ONNX Runtime, calibration, operating point.

pub mod depth;
mod scorer;

use crate::config::Data;
use crate::data::entry::Entry;
use crate::data::index::Index;
use crate::progress::say;
use anyhow::{Result, ensure};
use depth::DepthConsistency;
pub use scorer::Scorer;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub const FILE: &str = "consistency.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub path: String,
    pub original: f64,
    pub copy: f64,
    /// Whether the verdicts differ.
    pub flipped: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Digest of the weights, or of a bundle's graph.
    pub weights_sha256: String,
    /// Operating point that decides what flips.
    pub threshold: f64,
    pub n: usize,
    /// Mean of `|original - copy|`.
    pub mean_absolute_difference: f64,
    /// Mean of `original - copy`.
    pub mean_signed_difference: f64,
    /// Largest `|original - copy|`.
    pub largest_difference: f64,
    pub n_flipped: usize,
    /// The originals as deep files; absent where it was not measured.
    #[serde(default)]
    pub deep: Option<DepthConsistency>,
    pub pairs: Vec<Pair>,
}

impl Consistency {
    /// Scores every original below `originals` and its namesake below `copies`.
    pub fn measure(scorer: &mut Scorer, data: &Data, originals: &Path, copies: &Path) -> Result<Self> {
        let pairs = Index::scan_part(originals, data)?
            .entries
            .iter()
            .map(|Entry { path, .. }| {
                let original = scorer.probability(&originals.join(path))?;
                let copy = scorer.probability(&copies.join(path))?;
                let flagged = |probability: f64| probability >= scorer.policy.threshold;
                Ok(Pair { path: path.clone(), original, copy, flipped: flagged(original) != flagged(copy) })
            })
            .collect::<Result<Vec<Pair>>>()?;
        ensure!(!pairs.is_empty(), "{}: holds no original", originals.display());
        let differences: Vec<f64> = pairs.iter().map(|pair| pair.original - pair.copy).collect();
        let mean = |values: &dyn Fn(f64) -> f64| {
            differences.iter().map(|d| values(*d)).sum::<f64>() / pairs.len() as f64
        };
        Ok(Self {
            weights_sha256: scorer.weights_sha256.clone(),
            threshold: scorer.policy.threshold,
            n: pairs.len(),
            mean_absolute_difference: mean(&f64::abs),
            mean_signed_difference: mean(&|d| d),
            largest_difference: differences.iter().fold(0.0, |largest, d| d.abs().max(largest)),
            deep: Some(DepthConsistency::measure(scorer, data, originals)?),
            n_flipped: pairs.iter().filter(|pair| pair.flipped).count(),
            pairs,
        })
    }

    /// Prints the summary and every pair whose verdict differs.
    pub fn report(&self) {
        say(format!(
            "originals against copies, {} pairs: |difference| {:.4} in the mean, {:.4} at most; signed {:+.4}; {} verdicts differ",
            self.n,
            self.mean_absolute_difference,
            self.largest_difference,
            self.mean_signed_difference,
            self.n_flipped
        ));
        if let Some(deep) = &self.deep {
            deep.report();
        }
        for pair in self.pairs.iter().filter(|pair| pair.flipped) {
            say(format!("  {}: original {:.4}, copy {:.4}", pair.path, pair.original, pair.copy));
        }
    }
}
