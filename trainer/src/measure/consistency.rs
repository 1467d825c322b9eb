//! Consistency: whether an original gets the same decision as the small JPEG copy that the network was
//! trained and evaluated on. Both are scored as the service does: decoding, acceptance, preprocessing, ONNX
//! Runtime, calibration, threshold.

pub mod depth;

use crate::bundle;
use crate::config::Data;
use crate::data::entry::Entry;
use crate::data::index::Index;
use crate::data::recipe::Recipe;
use crate::progress::say;
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, Variant};
use cxr::{AffineCalibration, DecisionPolicy};
use depth::DepthConsistency;
use runtime::Session;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub const FILE: &str = "consistency.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub path: String,
    pub original: f64,
    pub copy: f64,
    pub flipped: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Digest of the weights, or of a bundle's graph.
    pub weights_sha256: String,
    pub threshold: f64,
    pub n: usize,
    /// Mean of `|original - copy|`.
    pub mean_absolute_difference: f64,
    /// Mean of `original - copy`.
    pub mean_signed_difference: f64,
    pub largest_difference: f64,
    pub n_flipped: usize,
    /// The originals as files of 16 bits; absent if not measured.
    #[serde(default)]
    pub deep: Option<DepthConsistency>,
    pub pairs: Vec<Pair>,
}

impl Consistency {
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
        ensure!(!pairs.is_empty(), "{}: contains no originals", originals.display());
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

    pub fn print(&self) {
        say(format!(
            "originals against copies, {} pairs: mean absolute difference {:.4}, largest {:.4}, mean signed difference {:+.4}; {} decisions differ",
            self.n,
            self.mean_absolute_difference,
            self.largest_difference,
            self.mean_signed_difference,
            self.n_flipped
        ));
        if let Some(deep) = &self.deep {
            say(deep.to_string());
        }
        for pair in self.pairs.iter().filter(|pair| pair.flipped) {
            say(format!("  {}: original {:.4}, copy {:.4}", pair.path, pair.original, pair.copy));
        }
    }
}

/// Scores single images as the service does.
#[derive(Debug)]
pub struct Scorer<'a> {
    pub session: &'a mut Session,
    pub recipe: Recipe,
    pub calibration: AffineCalibration,
    pub policy: &'a DecisionPolicy,
    /// Digest of the weights, or of a bundle's graph.
    pub weights_sha256: String,
}

impl<'a> Scorer<'a> {
    pub fn of_bundle(bundle: &Bundle, variant: &'a Variant, session: &'a mut Session) -> Self {
        Self {
            session,
            recipe: bundle::recipe(bundle),
            calibration: variant.calibration,
            policy: &variant.policy,
            weights_sha256: bundle::graph_digest(bundle, variant),
        }
    }

    fn probability(&mut self, file: &Path) -> Result<f64> {
        let name = || file.display().to_string();
        let bytes = std::fs::read(file).with_context(name)?;
        self.probability_of(&bytes).with_context(name)
    }

    fn probability_of(&mut self, bytes: &[u8]) -> Result<f64> {
        let input = self.recipe.prepare(bytes)?;
        let logit = self.session.run(input.pixels(), 1)?.logits[0];
        Ok(self.calibration.apply(f64::from(logit)).value())
    }
}
