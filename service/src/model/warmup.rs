//! The proof that a session computes what the bundle promises: known inputs must give the known logits.

use super::ServedModel;
use crate::infer::{Backend, BackendError, is_device_failure};
use cxr::{DecodeLimits, Rejection};
use runtime::ModelOutputs;

/// The known inputs of the variant that serves; there is at least one.
pub struct Golden(Vec<Known>);

/// A known input, decoded, with what the model must say of it.
struct Known {
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
    #[error("{file}: the model's logit is {found}, but the bundle states {expected} within {tolerance}")]
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
    #[error("reference.json does not match the model")]
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

impl WarmupError {
    /// Whether the device failed and not the bundle.
    pub const fn is_device_failure(&self) -> bool {
        match self {
            Self::Run { source: BackendError::Session(error), .. } => is_device_failure(error),
            _ => false,
        }
    }
}

impl Golden {
    /// The golden inputs of the variant that serves; a bundle without any is refused when opened.
    ///
    /// # Errors
    /// When one is not an input of the model.
    pub fn of(model: &ServedModel) -> Result<Self, WarmupError> {
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
            Ok(Known { file, pixels, logit: golden.logit, tolerance: golden.tolerance })
        };
        model.variant().golden.iter().map(decode).collect::<Result<_, _>>().map(Self)
    }

    /// An input, as the model takes it.
    pub fn probe(&self) -> &[u8] {
        self.0.first().map(|known| known.pixels.as_slice()).unwrap_or_default()
    }

    /// Runs every input alone, and in batches of every size that the session is to run in, and compares. That also
    /// warms the session up: kernels are chosen and runs recorded at the first run of a size.
    ///
    /// # Errors
    /// See [`WarmupError`].
    pub fn prove(
        &self,
        backend: &mut impl Backend,
        model: &ServedModel,
        batch_sizes: &[usize],
    ) -> Result<(), WarmupError> {
        for known in &self.0 {
            prove_batch(&[known], backend, model)?;
        }
        // Down again as well: what the first run of one size leaves in the device must not change another size's answer.
        for size in batch_sizes.iter().chain(batch_sizes.iter().rev()) {
            let batch: Vec<&Known> = self.0.iter().cycle().take(*size).collect();
            prove_batch(&batch, backend, model)?;
        }
        Ok(())
    }

    /// Whether two sessions give every input the very same bits.
    ///
    /// # Errors
    /// When one does not run.
    pub fn alike<B: Backend>(&self, one: &mut B, other: &mut B) -> Result<bool, WarmupError> {
        for known in &self.0 {
            let run = |backend: &mut B| {
                let failed = |source| WarmupError::Run { file: known.file.clone(), source };
                backend.run(&[&known.pixels]).map_err(failed)
            };
            if !same_bits(&run(one)?, &run(other)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn same_bits(one: &ModelOutputs, other: &ModelOutputs) -> bool {
    let same =
        |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
    same(&one.logits, &other.logits) && same(&one.cam, &other.cam) && same(&one.embedding, &other.embedding)
}

fn prove_batch(batch: &[&Known], backend: &mut impl Backend, model: &ServedModel) -> Result<(), WarmupError> {
    let Some(first) = batch.first() else { return Ok(()) };
    let images: Vec<&[u8]> = batch.iter().map(|known| known.pixels.as_slice()).collect();
    let run = |source| WarmupError::Run { file: first.file.clone(), source };
    let outputs = backend.run(&images).map_err(run)?;
    let length = (outputs.embedding.len() / batch.len()).max(1);
    for embedding in outputs.embedding.chunks(length) {
        model.bundle().reference().embedding.locate(embedding)?;
    }
    for (known, found) in batch.iter().zip(&outputs.logits) {
        // Written so that a logit that is no number differs.
        if (found - known.logit).abs() <= known.tolerance {
            continue;
        }
        return Err(WarmupError::Differs {
            file: known.file.clone(),
            found: *found,
            expected: known.logit,
            tolerance: known.tolerance,
        });
    }
    Ok(())
}
