//! The proof that a session computes what the bundle promises: known inputs must give the known logits.

use super::ServedModel;
use crate::infer::{Backend, BackendError};
use cxr::{DecodeLimits, Rejection};

/// A known input, decoded, with what the model must say of it.
pub struct Golden {
    file: String,
    pixels: Vec<u8>,
    logit: f32,
    tolerance: f32,
}

/// Why a session must not serve.
#[derive(Debug, thiserror::Error)]
pub enum WarmupError {
    /// A known input cannot be decoded.
    #[error("{file}: the golden input is refused")]
    Decode {
        /// File inside the bundle.
        file: String,
        /// Cause.
        #[source]
        source: Rejection,
    },
    /// A known input is no input of this model.
    #[error("{file}: the golden input is not an 8-bit image of the model's input size")]
    Size {
        /// File inside the bundle.
        file: String,
    },
    /// The session computes something else than the trainer did.
    #[error("{file}: the model gives the logit {found}, the bundle promises {expected} within {tolerance}")]
    Differs {
        /// File inside the bundle.
        file: String,
        /// Computed here.
        found: f32,
        /// In the manifest.
        expected: f32,
        /// In the manifest.
        tolerance: f32,
    },
    /// The embedding does not fit the reference of the bundle.
    #[error("reference.json does not fit the model")]
    Embedding(#[from] cxr::embedding::EmbeddingMismatch),
    /// The session cannot run.
    #[error("{file}: the model cannot be run on the golden input")]
    Run {
        /// File inside the bundle.
        file: String,
        /// Cause.
        #[source]
        source: BackendError,
    },
}

impl Golden {
    /// The golden inputs of the variant that serves; a bundle without any is refused when opened.
    ///
    /// # Errors
    /// When one is not an input of the model.
    pub fn of(model: &ServedModel) -> Result<Vec<Self>, WarmupError> {
        let spec = &model.manifest().preprocess;
        let decode = |golden: &cxr::bundle::Golden| {
            let file = golden.file.clone();
            let bytes = model.bundle().file(&file).unwrap_or_default();
            let image = cxr::decode(bytes, &DecodeLimits::default())
                .map_err(|source| WarmupError::Decode { file: file.clone(), source })?;
            if (image.width(), image.height(), image.significant_bits()) != (spec.width, spec.height, 8) {
                return Err(WarmupError::Size { file });
            }
            let pixels = image.samples().iter().map(|sample| *sample as u8).collect();
            Ok(Self { file, pixels, logit: golden.logit, tolerance: golden.tolerance })
        };
        model.variant().golden.iter().map(decode).collect()
    }

    /// The input, as the model takes it.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Runs the input and compares.
    ///
    /// # Errors
    /// See [`WarmupError`].
    pub fn prove(&self, backend: &mut impl Backend, model: &ServedModel) -> Result<(), WarmupError> {
        let run = |source| WarmupError::Run { file: self.file.clone(), source };
        let outputs = backend.run(&self.pixels, 1).map_err(run)?;
        model.bundle().reference().embedding.locate(&outputs.embedding)?;
        let found = outputs.logits[0];
        // Written so that a logit that is no number differs.
        if (found - self.logit).abs() <= self.tolerance {
            return Ok(());
        }
        Err(WarmupError::Differs {
            file: self.file.clone(),
            found,
            expected: self.logit,
            tolerance: self.tolerance,
        })
    }
}
