//! Opens a signed bundle, verifies it and selects a variant.

mod trust;

pub use trust::{TrustError, development_key_id, is_development_key, read_public_key};

use crate::config::model::ModelConfig;
use cxr::bundle::{Bundle, BundleError, Manifest, Variant, sha256_hex};
use cxr::decide::DecisionKind;
use cxr::heatmap::{ColourScale, HeatmapScale};
use cxr::intended_use::SitePatients;
use cxr::metadata::AcquisitionMetadata;
use cxr::{Decision, Probability};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("service.model.trusted_keys")]
    Trust(#[from] TrustError),
    /// The bundle is incomplete, damaged or not signed by a trusted key; the source names the file.
    #[error("the model bundle {} was rejected", directory.display())]
    Bundle {
        directory: PathBuf,
        #[source]
        source: BundleError,
    },
}

/// A verified bundle and its selected variant.
pub struct ServedModel {
    bundle: Bundle,
    variant: String,
    policy_digest: String,
}

impl ServedModel {
    pub fn open(config: &ModelConfig) -> Result<Self, ModelError> {
        let trust = trust::required(config)?;
        let refused = |source| ModelError::Bundle { directory: config.bundle.clone(), source };
        let bundle = Bundle::open(|file| std::fs::read(config.bundle.join(file)), &trust).map_err(refused)?;
        let (name, variant) = bundle.variant(config.variant.as_deref()).map_err(refused)?;
        let (name, policy_digest) =
            (name.to_owned(), policy_digest(bundle.manifest(), variant).map_err(refused)?);
        Ok(Self { bundle, variant: name, policy_digest })
    }

    pub const fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    pub const fn manifest(&self) -> &Manifest {
        self.bundle.manifest()
    }

    pub fn variant_name(&self) -> &str {
        &self.variant
    }

    pub fn variant(&self) -> &Variant {
        &self.manifest().variants[&self.variant]
    }

    /// Class of a kind; `refer` has none.
    pub fn class(&self, kind: DecisionKind) -> Option<&str> {
        let [negative, positive] = &self.manifest().labels;
        match kind {
            DecisionKind::Positive => Some(positive),
            DecisionKind::Negative => Some(negative),
            DecisionKind::Refer => None,
        }
    }

    /// Name of the positive class, which heatmaps explain.
    pub fn positive_class(&self) -> &str {
        &self.manifest().labels[1]
    }

    pub fn heatmap_scale(&self) -> Option<ColourScale> {
        self.variant().heatmap.as_ref().map(HeatmapScale::ends)
    }

    /// Decides by the variant's policy and the intended use. `assumed` stands in for metadata that is not
    /// stated.
    pub fn decide(
        &self,
        probability: Probability,
        ood_score: f64,
        stated: &AcquisitionMetadata,
        assumed: &SitePatients,
    ) -> Decision {
        let suitability = self.manifest().intended_use.suits(stated, assumed);
        self.variant().policy.decide(probability, ood_score, suitability)
    }

    pub fn graph(&self) -> &[u8] {
        self.bundle.file(&self.variant().file).unwrap_or_default()
    }

    /// SHA-256 of calibration, policy and intended use: the rules from logit to decision.
    pub fn policy_digest(&self) -> &str {
        &self.policy_digest
    }
}

fn policy_digest(manifest: &Manifest, variant: &Variant) -> Result<String, BundleError> {
    let rules = serde_json::to_vec(&(&variant.calibration, &variant.policy, &manifest.intended_use))
        .map_err(|source| BundleError::Json { file: cxr::bundle::MANIFEST.into(), source })?;
    Ok(sha256_hex(&rules))
}
