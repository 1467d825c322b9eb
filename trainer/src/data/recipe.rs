//! From the bytes of a file to a model input, as in the service.

use super::readable::decode;
use anyhow::Result;
use cxr::metadata::AcquisitionMetadata;
use cxr::{AcceptancePolicy, AcceptedImage, ModelInput, PreprocessSpec};

#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub acceptance: AcceptancePolicy,
    pub preprocess: PreprocessSpec,
}

impl Recipe {
    /// The error does not name the file.
    pub fn prepare(&self, bytes: &[u8]) -> Result<ModelInput> {
        let image = decode(bytes)?;
        let accepted = AcceptedImage::accept(image, AcquisitionMetadata::default(), &self.acceptance)?;
        Ok(cxr::preprocess::preprocess(&accepted, &self.preprocess))
    }
}
