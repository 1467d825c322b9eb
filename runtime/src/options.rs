//! How a session executes: where, with how many threads, in which batch sizes.

use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch};

/// Where the graph executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// The host's processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(CudaOptions),
    /// Intel's OpenVINO, where ONNX Runtime's library was built with it.
    OpenVino {
        /// OpenVINO's name of the device: `CPU`, `GPU`, `NPU`.
        device: String,
    },
}

/// How a GPU is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaOptions {
    /// Ordinal of the GPU.
    pub device_id: i32,
    /// Most device memory that the arena takes, in bytes.
    pub memory_limit_bytes: Option<usize>,
    /// Whether fp32 products may be computed with 10 bits of mantissa: faster, and further from the golden outputs.
    pub tf32: bool,
    /// Input and outputs in pinned host memory that the kernels read and write themselves, bound once for each batch
    /// size; otherwise ONNX Runtime allocates and copies at every run.
    pub pinned_io: bool,
    /// A run is recorded once for each batch size and replayed as a whole: one launch for the graph and not one for
    /// each of its kernels. Needs `pinned_io`.
    pub graphs: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self { device_id: 0, memory_limit_bytes: None, tf32: false, pinned_io: true, graphs: true }
    }
}

impl Provider {
    /// ONNX Runtime's name.
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
                    // The exhaustive search tries every algorithm of every convolution for every batch size: seconds
                    // of start for nothing measurable.
                    .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
                    .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
                let built = match cuda.memory_limit_bytes {
                    Some(limit) => built.with_memory_limit(limit),
                    None => built,
                };
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

/// How a session executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Where.
    pub provider: Provider,
    /// Threads inside one operator.
    pub intra_threads: usize,
    /// Whether idle threads spin: faster when the host is ours alone, wasteful when shared.
    pub spinning: bool,
    /// Whether memory is kept between runs.
    pub arena: bool,
    /// Batch sizes that the graph runs in, rising; a batch between two of them is filled up with black images. Empty:
    /// every size runs as it is.
    pub batch_sizes: Vec<usize>,
    /// Precision that the bundle states of this graph, for the fingerprint.
    pub precision: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            provider: Provider::Cpu,
            intra_threads: 1,
            spinning: false,
            arena: true,
            batch_sizes: vec![],
            precision: "fp32".into(),
        }
    }
}

impl SessionOptions {
    /// The size that a batch of `n` images runs in; `None` when it is larger than all.
    pub fn padded(&self, n: usize) -> Option<usize> {
        if self.batch_sizes.is_empty() {
            return Some(n);
        }
        self.batch_sizes.iter().copied().find(|size| *size >= n)
    }
}
