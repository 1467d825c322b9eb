//! From bytes to a model input, as the service does it.

use super::readable::decode;
use anyhow::Result;
use cxr::metadata::AcquisitionMetadata;
use cxr::{AcceptancePolicy, AcceptedImage, ModelInput, PreprocessSpec};

/// How an image becomes a model input.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Which images are accepted.
    pub acceptance: AcceptancePolicy,
    /// What is done to them.
    pub preprocess: PreprocessSpec,
}

impl Recipe {
    /// Bytes to model input.
    pub fn prepare(&self, bytes: &[u8]) -> Result<ModelInput> {
        let image = decode(bytes)?;
        let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &self.acceptance)?;
        Ok(cxr::preprocess::preprocess(&accepted, &self.preprocess))
    }
}
