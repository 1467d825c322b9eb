//! A session: one graph, one provider, checked against the bundle's contract when made.

use crate::error::RuntimeError;
use crate::fingerprint::ExecutionFingerprint;
use crate::library::Runtime;
use crate::proof::{ProviderProof, RECORD_ASSIGNMENT};
use cxr::bundle::{ModelContract, TensorSpec};
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorElementType, TensorRef, ValueType};

/// Where the graph executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The host's processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda {
        /// Ordinal of the GPU.
        device_id: i32,
        /// Most device memory that the arena takes, in bytes.
        memory_limit_bytes: Option<usize>,
    },
}

impl Provider {
    /// ONNX Runtime's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::Cuda { .. } => "CUDAExecutionProvider",
        }
    }
}

/// How a session executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Where.
    pub provider: Provider,
    /// Threads inside one operator.
    pub intra_threads: usize,
    /// Whether idle threads spin: faster when the host is ours alone, wasteful when shared.
    pub spinning: bool,
    /// Precision that the bundle states of this graph, for the fingerprint.
    pub precision: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { provider: Provider::Cpu, intra_threads: 1, spinning: false, precision: "fp32".into() }
    }
}

/// Outputs of a batch, batch-major.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOutputs {
    /// One logit an image.
    pub logits: Vec<f32>,
    /// Class activation maps, `cam_size.0 * cam_size.1` values an image, row-major.
    pub cam: Vec<f32>,
    /// Columns and rows of a map.
    pub cam_size: (u32, u32),
    /// Embeddings, `embedding_length` values an image.
    pub embedding: Vec<f32>,
    /// Values of an embedding.
    pub embedding_length: usize,
}

/// One graph ready to run. `run` takes it mutably: a thread owns its session.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    input_size: (usize, usize),
    cam_size: (u32, u32),
    embedding_length: usize,
    proof: ProviderProof,
    fingerprint: ExecutionFingerprint,
}

impl Runtime {
    /// Makes a session from a graph's bytes.
    ///
    /// # Errors
    /// `Session` when ONNX Runtime refuses, `Provider` when another provider than the one asked for would execute,
    /// `Contract` when the graph's tensors are not those of the bundle.
    pub fn session(
        &self,
        onnx: &[u8],
        contract: &ModelContract,
        options: &SessionOptions,
    ) -> Result<Session, RuntimeError> {
        let failed = |step| move |source| RuntimeError::Session { step, source: Box::new(source) };
        let mut builder = self.builder(options)?;
        let inner = builder.commit_from_memory(onnx).map_err(failed("loading the graph"))?;
        let proof = ProviderProof::of(&inner, options.provider.name())?;
        check_tensors("input", inner.inputs(), std::slice::from_ref(&contract.input))?;
        check_tensors("output", inner.outputs(), &contract.outputs)?;
        let side = |spec: &TensorSpec, axis: usize| spec.shape.get(axis).copied().flatten().unwrap_or(0);
        let output = |name: &str| {
            let missing = || RuntimeError::Contract { what: format!("the bundle states no output {name:?}") };
            contract.outputs.iter().find(|spec| spec.name == name).ok_or_else(missing)
        };
        output("logits")?;
        let (cam, embedding) = (output("cam")?, output("embedding")?);
        Ok(Session {
            input_size: (side(&contract.input, 3) as usize, side(&contract.input, 2) as usize),
            cam_size: (side(cam, 3), side(cam, 2)),
            embedding_length: side(embedding, 1) as usize,
            fingerprint: ExecutionFingerprint::new(self.build(), options),
            inner,
            proof,
        })
    }

    fn builder(&self, options: &SessionOptions) -> Result<SessionBuilder, RuntimeError> {
        let failed = |step| {
            move |error: ort::Error<SessionBuilder>| RuntimeError::Session {
                step,
                source: Box::new(error.into()),
            }
        };
        let builder = ort::session::Session::builder(&self.environment).map_err(|source| {
            RuntimeError::Session { step: "creating session options", source: Box::new(source) }
        })?;
        builder
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
            .with_execution_providers(providers(options.provider))
            .map_err(failed("registering the execution provider"))
    }
}

fn providers(provider: Provider) -> Vec<ExecutionProviderDispatch> {
    match provider {
        Provider::Cpu => vec![],
        Provider::Cuda { device_id, memory_limit_bytes } => {
            let cuda = ep::CUDA::default().with_device_id(device_id);
            let cuda = memory_limit_bytes.map_or(cuda.clone(), |limit| cuda.with_memory_limit(limit));
            vec![cuda.build().error_on_failure()]
        }
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
            return fail(format!("{kind} {:?} is no tensor", spec.name));
        };
        let dtype = match ty {
            TensorElementType::Uint8 => "uint8",
            TensorElementType::Float32 => "float32",
            _ => "another type",
        };
        let dimensions: Vec<Option<u32>> = shape.iter().map(|d| u32::try_from(*d).ok()).collect();
        if dtype != spec.dtype || dimensions != spec.shape {
            return fail(format!(
                "{kind} {:?} is {dtype} {dimensions:?}, the bundle states {} {:?}",
                spec.name, spec.dtype, spec.shape
            ));
        }
    }
    Ok(())
}

impl Session {
    /// Runs `batch` images of `H * W` bytes each.
    ///
    /// # Errors
    /// `Input` for a wrong number of bytes, `Run` when ONNX Runtime fails, `NotFinite` for a NaN or infinite logit.
    pub fn run(&mut self, pixels: &[u8], batch: usize) -> Result<ModelOutputs, RuntimeError> {
        let (width, height) = self.input_size;
        let expected = batch * width * height;
        if pixels.len() != expected || batch == 0 {
            return Err(RuntimeError::Input { batch, found: pixels.len(), expected });
        }
        let image = TensorRef::from_array_view(([batch, 1, height, width], pixels))
            .map_err(|error| RuntimeError::Run(Box::new(error)))?;
        let outputs = self
            .inner
            .run(ort::inputs!["image" => image])
            .map_err(|error| RuntimeError::Run(Box::new(error)))?;
        let take = |name: &str| {
            outputs[name]
                .try_extract_tensor::<f32>()
                .map(|(_, data)| data.to_vec())
                .map_err(|error| RuntimeError::Run(Box::new(error)))
        };
        let logits = take("logits")?;
        if let Some(index) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(RuntimeError::NotFinite { index });
        }
        Ok(ModelOutputs {
            logits,
            cam: take("cam")?,
            cam_size: self.cam_size,
            embedding: take("embedding")?,
            embedding_length: self.embedding_length,
        })
    }

    /// Which provider executes how many nodes.
    pub const fn proof(&self) -> &ProviderProof {
        &self.proof
    }

    /// What can change the last bits.
    pub const fn fingerprint(&self) -> &ExecutionFingerprint {
        &self.fingerprint
    }
}
