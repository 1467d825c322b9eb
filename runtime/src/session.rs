//! A session: one graph on one provider, checked against the bundle's contract when created.

use crate::error::RuntimeError;
use crate::fingerprint::ExecutionFingerprint;
use crate::library::Runtime;
use crate::options::{Provider, SessionOptions};
use crate::pinned::PinnedBatches;
use crate::proof::{ProviderProof, RECORD_ASSIGNMENT};
use cxr::bundle::{ModelContract, TensorSpec};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorElementType, TensorRef, ValueType};

/// Outputs of a batch, image by image.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOutputs {
    pub logits: Vec<f32>,
    /// Class activation maps, `cam_size.0 * cam_size.1` values per image, row-major.
    pub cam: Vec<f32>,
    /// Columns and rows of a map.
    pub cam_size: (u32, u32),
    /// Embeddings, `embedding_length` values per image.
    pub embedding: Vec<f32>,
    pub embedding_length: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Columns and rows of an image.
    pub(crate) input: (usize, usize),
    /// Columns and rows of a map.
    pub(crate) cam: (u32, u32),
    pub(crate) embedding: usize,
}

/// One graph, ready to run. `run` takes `&mut self`, so one thread owns a session.
#[derive(Debug)]
pub struct Session {
    /// Dropped before the session, whose allocators own its memory.
    pinned: Option<PinnedBatches>,
    inner: ort::session::Session,
    options: SessionOptions,
    sizes: Sizes,
    gathered: Vec<u8>,
    proof: ProviderProof,
    fingerprint: ExecutionFingerprint,
}

impl Runtime {
    /// Creates a session from a graph's bytes. Fails if the requested provider would not execute the graph,
    /// or if the graph's tensors differ from the contract.
    pub fn session(
        &self,
        onnx: &[u8],
        contract: &ModelContract,
        options: &SessionOptions,
    ) -> Result<Session, RuntimeError> {
        let inner = self.builder(options)?.commit_from_memory(onnx);
        let inner = inner.map_err(RuntimeError::session("loading the graph"))?;
        let proof = ProviderProof::of(&inner, options.provider.name())?;
        check_tensors("input", inner.inputs(), std::slice::from_ref(&contract.input))?;
        check_tensors("output", inner.outputs(), &contract.outputs)?;
        let sizes = Sizes::of(contract)?;
        let pinned = match &options.provider {
            Provider::Cuda(cuda) if cuda.pinned_io => {
                let pinned = PinnedBatches::new(&inner, cuda.device_id, sizes);
                Some(pinned.map_err(RuntimeError::session("pinning memory"))?)
            }
            _ => None,
        };
        Ok(Session {
            pinned,
            options: options.clone(),
            sizes,
            gathered: Vec::new(),
            fingerprint: ExecutionFingerprint::new(self.build(), options),
            inner,
            proof,
        })
    }

    fn builder(&self, options: &SessionOptions) -> Result<SessionBuilder, RuntimeError> {
        let failed = RuntimeError::session::<ort::Error<SessionBuilder>>;
        ort::session::Session::builder(&self.environment)
            .map_err(RuntimeError::session("creating session options"))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(failed("setting the optimisation level"))?
            .with_intra_threads(options.intra_threads)
            .map_err(failed("setting the threads of an operator"))?
            .with_inter_threads(1)
            .map_err(failed("setting the threads between operators"))?
            .with_intra_op_spinning(options.spinning)
            .map_err(failed("setting whether threads spin"))?
            .with_config_entry(RECORD_ASSIGNMENT, "1")
            .map_err(failed("asking for the node assignment"))?
            .with_execution_providers(options.provider.dispatches(options))
            .map_err(failed(
                "registering the execution provider, which the configured ONNX Runtime library must have (docs/GPU.md),",
            ))
    }
}

impl Sizes {
    fn of(contract: &ModelContract) -> Result<Self, RuntimeError> {
        let side = |spec: &TensorSpec, axis: usize| spec.shape.get(axis).copied().flatten().unwrap_or(0);
        let output = |name: &str| {
            let missing = || RuntimeError::Contract { what: format!("the bundle states no output {name:?}") };
            contract.outputs.iter().find(|spec| spec.name == name).ok_or_else(missing)
        };
        output("logits")?;
        let (cam, embedding) = (output("cam")?, output("embedding")?);
        Ok(Self {
            input: (side(&contract.input, 3) as usize, side(&contract.input, 2) as usize),
            cam: (side(cam, 3), side(cam, 2)),
            embedding: side(embedding, 1) as usize,
        })
    }

    pub(crate) const fn pixels(self) -> usize {
        self.input.0 * self.input.1
    }

    pub(crate) const fn map(self) -> usize {
        self.cam.0 as usize * self.cam.1 as usize
    }
}

fn check_tensors(
    kind: &str,
    found: &[ort::value::Outlet],
    expected: &[TensorSpec],
) -> Result<(), RuntimeError> {
    let fail = |what: String| Err(RuntimeError::Contract { what });
    if found.len() != expected.len() {
        return fail(format!("{} {kind}s, the bundle states {}", found.len(), expected.len()));
    }
    for spec in expected {
        let Some(tensor) = found.iter().find(|tensor| tensor.name() == spec.name) else {
            return fail(format!("no {kind} {:?}", spec.name));
        };
        let ValueType::Tensor { ty, shape, .. } = tensor.dtype() else {
            return fail(format!("{kind} {:?} is not a tensor", spec.name));
        };
        let dtype = match ty {
            TensorElementType::Uint8 => "uint8",
            TensorElementType::Float32 => "float32",
            _ => "another type",
        };
        let dimensions: Vec<Option<u32>> = shape.iter().map(|d| u32::try_from(*d).ok()).collect();
        if dtype != spec.dtype || dimensions != spec.shape {
            let TensorSpec { name, dtype: stated, shape, .. } = spec;
            return fail(format!(
                "{kind} {name:?} is {dtype} {dimensions:?}, the bundle states {stated} {shape:?}"
            ));
        }
    }
    Ok(())
}

impl Session {
    /// Runs `batch` images of `H * W` bytes each, stored one after the other.
    pub fn run(&mut self, pixels: &[u8], batch: usize) -> Result<ModelOutputs, RuntimeError> {
        let expected = batch * self.sizes.pixels();
        if pixels.len() != expected || batch == 0 {
            return Err(RuntimeError::Input { batch, found: pixels.len(), expected });
        }
        let images: Vec<&[u8]> = pixels.chunks_exact(self.sizes.pixels()).collect();
        self.run_images(&images)
    }

    /// Runs images of `H * W` bytes each.
    pub fn run_images(&mut self, images: &[&[u8]]) -> Result<ModelOutputs, RuntimeError> {
        let (n, n_pixels) = (images.len(), self.sizes.pixels());
        if let Some(wrong) = images.iter().find(|image| image.len() != n_pixels) {
            return Err(RuntimeError::Input { batch: 1, found: wrong.len(), expected: n_pixels });
        }
        let largest = self.options.batch_sizes.last().copied().unwrap_or(usize::MAX);
        let size = self.options.padded(n).ok_or(RuntimeError::BatchTooLarge { batch: n, largest })?;
        let mut outputs = if let Some(pinned) = &mut self.pinned {
            pinned.run(&mut self.inner, images, size)?
        } else if let ([image], 1) = (images, size) {
            run_at(&mut self.inner, image, 1, self.sizes)?
        } else {
            self.gathered.clear();
            for image in images {
                self.gathered.extend_from_slice(image);
            }
            self.gathered.resize(size * n_pixels, 0);
            run_at(&mut self.inner, &self.gathered, size, self.sizes)?
        };
        outputs.truncate(n);
        match outputs.logits.iter().position(|logit| !logit.is_finite()) {
            Some(index) => Err(RuntimeError::NotFinite { index }),
            None => Ok(outputs),
        }
    }

    pub const fn proof(&self) -> &ProviderProof {
        &self.proof
    }

    pub const fn fingerprint(&self) -> &ExecutionFingerprint {
        &self.fingerprint
    }
}

impl ModelOutputs {
    /// Drops the outputs of padding images.
    fn truncate(&mut self, n: usize) {
        self.logits.truncate(n);
        self.cam.truncate(n * self.cam_size.0 as usize * self.cam_size.1 as usize);
        self.embedding.truncate(n * self.embedding_length);
    }
}

fn run_at(
    session: &mut ort::session::Session,
    pixels: &[u8],
    batch: usize,
    sizes: Sizes,
) -> Result<ModelOutputs, RuntimeError> {
    let failed = |error| RuntimeError::Run(Box::new(error));
    let (width, height) = sizes.input;
    let image = TensorRef::from_array_view(([batch, 1, height, width], pixels)).map_err(failed)?;
    let outputs = session.run(ort::inputs!["image" => image]).map_err(failed)?;
    let take =
        |name: &str| outputs[name].try_extract_tensor::<f32>().map(|(_, data)| data.to_vec()).map_err(failed);
    Ok(ModelOutputs {
        logits: take("logits")?,
        cam: take("cam")?,
        cam_size: sizes.cam,
        embedding: take("embedding")?,
        embedding_length: sizes.embedding,
    })
}
