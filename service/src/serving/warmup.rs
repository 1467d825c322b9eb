//! Warms sessions up on the golden inputs, and checks that they reproduce the golden outputs.

use crate::infer::{Backend, BackendError, is_device_failure};
use crate::model::ServedModel;
use cxr::{DecodeLimits, Rejection};
use runtime::ModelOutputs;

/// The golden inputs and outputs of a variant; there is at least one.
pub struct Golden(Vec<GoldenCase>);

struct GoldenCase {
    file: String,
    pixels: Vec<u8>,
    logit: f32,
    tolerance: f32,
}

#[derive(Debug, thiserror::Error)]
pub enum WarmupError {
    #[error("{file}: the golden input cannot be decoded")]
    Decode {
        file: String,
        #[source]
        source: Rejection,
    },
    #[error("{file}: the golden input is not an 8-bit image of the model's input size")]
    Size { file: String },
    #[error("{file}: the model's logit is {found}, but the bundle states {expected} within {tolerance}")]
    Differs { file: String, found: f32, expected: f32, tolerance: f32 },
    #[error("reference.json does not match the model")]
    Embedding(#[from] cxr::embedding::EmbeddingMismatch),
    #[error("{file}: the model cannot be run on the golden input")]
    Run {
        file: String,
        #[source]
        source: BackendError,
    },
}

impl WarmupError {
    /// Whether the device failed; the bundle may still be right.
    pub(super) const fn is_device_failure(&self) -> bool {
        match self {
            Self::Run { source: BackendError::Session(error), .. } => is_device_failure(error),
            _ => false,
        }
    }
}

impl Golden {
    /// Decodes the golden inputs of the model's variant.
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
            Ok(GoldenCase { file, pixels, logit: golden.logit, tolerance: golden.tolerance })
        };
        model.variant().golden.iter().map(decode).collect::<Result<_, _>>().map(Self)
    }

    /// The first input, for health checks.
    pub fn probe(&self) -> &[u8] {
        self.0.first().map(|case| case.pixels.as_slice()).unwrap_or_default()
    }

    /// Checks every input alone and in batches of every size. This also warms the session up, which chooses
    /// its kernels and records its runs at the first run of each size.
    pub fn prove(
        &self,
        backend: &mut impl Backend,
        model: &ServedModel,
        batch_sizes: &[usize],
    ) -> Result<(), WarmupError> {
        for case in &self.0 {
            prove_batch(&[case], backend, model)?;
        }
        // Up and down: state that one size leaves in the device must not change the outputs of another.
        for size in batch_sizes.iter().chain(batch_sizes.iter().rev()) {
            let batch: Vec<&GoldenCase> = self.0.iter().cycle().take(*size).collect();
            prove_batch(&batch, backend, model)?;
        }
        Ok(())
    }

    /// Whether two sessions give bit-identical outputs for every input.
    pub fn alike<B: Backend>(&self, one: &mut B, other: &mut B) -> Result<bool, WarmupError> {
        for case in &self.0 {
            let run = |backend: &mut B| {
                let failed = |source| WarmupError::Run { file: case.file.clone(), source };
                backend.run(&[&case.pixels]).map_err(failed)
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

fn prove_batch(
    batch: &[&GoldenCase],
    backend: &mut impl Backend,
    model: &ServedModel,
) -> Result<(), WarmupError> {
    let Some(first) = batch.first() else { return Ok(()) };
    let images: Vec<&[u8]> = batch.iter().map(|case| case.pixels.as_slice()).collect();
    let run = |source| WarmupError::Run { file: first.file.clone(), source };
    let outputs = backend.run(&images).map_err(run)?;
    let length = (outputs.embedding.len() / batch.len()).max(1);
    for embedding in outputs.embedding.chunks(length) {
        model.bundle().reference().embedding.locate(embedding)?;
    }
    for (case, found) in batch.iter().zip(&outputs.logits) {
        let (expected, tolerance) = (case.logit, case.tolerance);
        // False for NaN.
        let agrees = (found - expected).abs() <= tolerance;
        if !agrees {
            let file = case.file.clone();
            return Err(WarmupError::Differs { file, found: *found, expected, tolerance });
        }
    }
    Ok(())
}
