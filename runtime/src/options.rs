//! Session options: provider, threads and batch sizes.

use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    Cpu,
    Cuda(CudaOptions),
    /// Intel's OpenVINO, if the library was built with it.
    OpenVino {
        /// OpenVINO device: `CPU`, `GPU` or `NPU`.
        device: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaOptions {
    pub device_id: i32,
    pub memory_limit_bytes: Option<usize>,
    /// Whether fp32 products may use a 10-bit mantissa (TF32): faster, but further from the golden outputs.
    pub tf32: bool,
    /// Keep input and outputs in pinned host memory, bound once per batch size; else they are copied.
    pub pinned_io: bool,
    /// Record each batch size's run as a CUDA graph and replay it with a single launch. Needs `pinned_io`.
    /// Off by default: on an H100 it nearly doubled the speed of a single image, but with MobileNetV2 several
    /// recorded sizes gave wrong outputs (docs/GPU.md).
    pub graphs: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self { device_id: 0, memory_limit_bytes: None, tf32: false, pinned_io: true, graphs: false }
    }
}

impl Provider {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::Cuda(_) => "CUDAExecutionProvider",
            Self::OpenVino { .. } => "OpenVINOExecutionProvider",
        }
    }

    pub(crate) fn dispatches(&self, options: &SessionOptions) -> Vec<ExecutionProviderDispatch> {
        let cpu = ep::CPU::default().with_arena_allocator(options.arena).build();
        match self {
            Self::Cpu => vec![cpu],
            Self::Cuda(cuda) => {
                let built = ep::CUDA::default()
                    .with_device_id(cuda.device_id)
                    .with_tf32(cuda.tf32)
                    .with_cuda_graph(cuda.pinned_io && cuda.graphs)
                    // The exhaustive search takes seconds at the start and gains nothing measurable.
                    .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                    .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
                let limit = cuda.memory_limit_bytes;
                let built = limit.into_iter().fold(built, ep::CUDA::with_memory_limit);
                vec![built.build().error_on_failure(), cpu]
            }
            Self::OpenVino { device } => {
                let built = ep::OpenVINO::default()
                    .with_device_type(device)
                    .with_num_threads(options.intra_threads)
                    .with_num_streams(1);
                vec![built.build().error_on_failure(), cpu]
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    pub provider: Provider,
    pub intra_threads: usize,
    /// Whether idle threads spin: faster on a dedicated host, wasteful on a shared one.
    pub spinning: bool,
    pub arena: bool,
    /// Batch sizes that run, ascending; smaller batches are padded with black images. Empty: any size runs.
    pub batch_sizes: Vec<usize>,
    /// Precision of the weights as the bundle states it, for the fingerprint.
    pub precision: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        let (provider, precision) = (Provider::Cpu, "fp32".into());
        Self { provider, intra_threads: 1, spinning: false, arena: true, batch_sizes: vec![], precision }
    }
}

impl SessionOptions {
    /// Batch size that `n` images run in; `None` if they exceed the largest.
    pub fn padded(&self, n: usize) -> Option<usize> {
        let fitting = self.batch_sizes.iter().copied().find(|size| *size >= n);
        if self.batch_sizes.is_empty() { Some(n) } else { fitting }
    }
}
