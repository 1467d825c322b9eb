//! Scoring of single images as the service does it.

use crate::bundle;
use crate::data::recipe::Recipe;
use anyhow::{Context, Result};
use cxr::bundle::{Bundle, Variant};
use cxr::{AffineCalibration, DecisionPolicy};
use runtime::Session;
use std::path::Path;

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

    pub(super) fn probability(&mut self, file: &Path) -> Result<f64> {
        let name = || file.display().to_string();
        let bytes = std::fs::read(file).with_context(name)?;
        self.probability_of(&bytes).with_context(name)
    }

    pub(super) fn probability_of(&mut self, bytes: &[u8]) -> Result<f64> {
        let input = self.recipe.prepare(bytes)?;
        let logit = self.session.run(input.pixels(), 1)?.logits[0];
        Ok(self.calibration.apply(f64::from(logit)).value())
    }
}
