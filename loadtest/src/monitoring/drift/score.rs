//! Scores images as the service does.

use anyhow::{Context, Result};
use cxr::bundle::{Bundle, Trust};
use cxr::metadata::AcquisitionMetadata;
use cxr::preprocess::preprocess;
use cxr::{AcceptedImage, DecodeLimits};
use monitoring::quantity::N_INPUTS;
use runtime::{Runtime, Session, SessionOptions};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What the audit row of an image would hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::monitoring) struct Scored {
    pub(in crate::monitoring) is_positive: bool,
    pub(in crate::monitoring) inputs: [f64; N_INPUTS],
    pub(in crate::monitoring) probability: f64,
    pub(in crate::monitoring) threshold: f64,
    pub(in crate::monitoring) ood_score: f64,
    pub(in crate::monitoring) coordinates: Vec<f32>,
}

pub(in crate::monitoring) struct Scorer {
    bundle: Bundle,
    variant: String,
    session: Session,
}

impl Scorer {
    pub(in crate::monitoring) fn open(folder: &Path, library: &Path) -> Result<Self> {
        let bundle = Bundle::open(|name| std::fs::read(folder.join(name)), &Trust::Unsigned);
        let bundle = bundle.with_context(|| format!("{}: not a usable bundle", folder.display()))?;
        let (variant, of_variant) = bundle.variant(None)?;
        let variant = variant.to_owned();
        let graph = bundle.file(&of_variant.file).context("the graph is in the bundle")?;
        let options = SessionOptions { intra_threads: 2, ..SessionOptions::default() };
        let session = Runtime::load(library)?.session(graph, &bundle.manifest().model, &options)?;
        Ok(Self { bundle, variant, session })
    }

    pub(in crate::monitoring) fn score(&mut self, bytes: &[u8], is_positive: bool) -> Result<Scored> {
        let manifest = self.bundle.manifest();
        let accepted = cxr::decode(bytes, &DecodeLimits::default())
            .and_then(|image| {
                AcceptedImage::accept(image, AcquisitionMetadata::default(), &manifest.acceptance)
            })
            .map_err(|rejection| anyhow::anyhow!("an image of the study is rejected: {rejection:?}"))?;
        let input = preprocess(&accepted, &manifest.preprocess);
        let outputs = self.session.run(input.pixels(), 1)?;
        let logit = f64::from(*outputs.logits.first().context("a logit")?);
        let position = self.bundle.reference().embedding.locate(&outputs.embedding)?;
        let variant = &manifest.variants[&self.variant];
        Ok(Scored {
            is_positive,
            inputs: input.statistics().values(),
            probability: variant.calibration.apply(logit).value(),
            threshold: variant.policy.threshold,
            ood_score: position.ood_score,
            coordinates: position.coordinates,
        })
    }
}
