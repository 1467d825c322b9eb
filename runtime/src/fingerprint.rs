//! Everything that can change the last bits of an output: with equal fingerprints, all bits are equal.

use crate::options::{Provider, SessionOptions};
use serde::Serialize;

/// Stored in every audit row, so that a replay knows whether to compare bits or within a tolerance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecutionFingerprint {
    /// Version, commit and flags of the ONNX Runtime build.
    pub onnxruntime: String,
    pub instruction_set: String,
    pub provider: String,
    pub intra_threads: usize,
    /// Batch sizes that run; absent for any. Outside the CPU the bits of an image depend on the batch size.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub batch_sizes: Vec<usize>,
    /// Precision of the weights as the bundle states it.
    pub precision: String,
}

impl ExecutionFingerprint {
    pub(crate) fn new(build: String, options: &SessionOptions) -> Self {
        let name = options.provider.name();
        let provider = match &options.provider {
            Provider::Cpu => name.to_owned(),
            Provider::Cuda(cuda) => {
                format!("{name}:{}{}", cuda.device_id, if cuda.tf32 { " tf32" } else { "" })
            }
            Provider::OpenVino { device } => format!("{name}:{device}"),
        };
        Self {
            onnxruntime: build,
            instruction_set: instruction_set(),
            provider,
            intra_threads: options.intra_threads,
            batch_sizes: options.batch_sizes.clone(),
            precision: options.precision.clone(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_set() -> String {
    macro_rules! detected {
        ($($name:tt)*) => { [$(is_x86_feature_detected!($name).then_some($name)),*] };
    }
    let sets = detected!("avx" "fma" "avx2" "avxvnni" "avx512f" "avx512bw" "avx512vnni" "avx512bf16");
    format!("x86_64 {}", sets.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_set() -> String {
    std::env::consts::ARCH.to_owned()
}
