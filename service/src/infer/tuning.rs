//! Number, threads and batch sizes of a model's sessions: the configuration and measured defaults.
//!
//! `make bench` measures every layout of a CPU host; docs/BENCHMARK.md and docs/GPU.md have the figures.

use crate::config::model::{ModelConfig, ProviderName};
use crate::config::values::Bounded;
use crate::model::ServedModel;
use std::num::NonZeroUsize;

/// Largest batch on a GPU: at 128 an H100 gave 17 to 29 % more images/s at triple latency (docs/GPU.md).
const GPU_MAX_BATCH: usize = 32;

/// Default limit of threads of the single-image session: each operator waits for its last thread.
const MAX_SINGLE_IMAGE_THREADS: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    pub sessions: usize,
    pub intra_threads: usize,
    /// Threads per operator of the single-image session; none if there is no such session.
    pub single_image_threads: Option<usize>,
    pub spinning: bool,
    pub arena: bool,
    pub max_batch: usize,
    /// Sizes to which batches are padded; empty if they are not padded.
    pub batch_sizes: Vec<usize>,
    pub cuda_graphs: bool,
}

impl Tuning {
    pub fn of(config: &ModelConfig, model: &ServedModel) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let fixed_batch = model.variant().fixed_batch.map(|size| size as usize);
        let on_cpu = config.provider == ProviderName::Cpu;
        // On a CPU, one session per core with one thread each gave the most images/s with every architecture,
        // and batches gained nothing. OpenVINO and GPUs bring their own parallelism.
        let intra_threads = config.intra_threads.map_or(1, Bounded::get);
        let sessions =
            config.sessions.map_or(if on_cpu { (cores / intra_threads).max(1) } else { 1 }, Bounded::get);
        // A single image gains from cores that are idle: a third less time with two (docs/BENCHMARK.md).
        let single_image_threads = config
            .alone_threads
            .map_or(if on_cpu { cores.min(MAX_SINGLE_IMAGE_THREADS) } else { 1 }, Bounded::get);
        let on_gpu = config.provider == ProviderName::Cuda;
        let by_device = if on_gpu { GPU_MAX_BATCH } else { 1 };
        let max_batch = fixed_batch.unwrap_or(config.batching.max_batch.map_or(by_device, Bounded::get));
        let batch_sizes = match fixed_batch {
            Some(size) => vec![size],
            None if on_gpu => powers_up_to(max_batch),
            None => vec![],
        };
        Self {
            sessions,
            intra_threads,
            single_image_threads: (single_image_threads > intra_threads).then_some(single_image_threads),
            spinning: config.spinning,
            arena: config.arena,
            max_batch,
            batch_sizes,
            cuda_graphs: config.cuda_graphs,
        }
    }
}

/// 1, 2, 4 ... and `largest`. A GPU chooses and records its kernels once per size.
fn powers_up_to(largest: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1usize), |size| size.checked_mul(2));
    powers.take_while(|size| *size < largest).chain([largest]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_filled_up_to_powers_of_two_and_the_largest() {
        assert_eq!((powers_up_to(1), powers_up_to(2)), (vec![1], vec![1, 2]));
        assert_eq!(powers_up_to(24), [1, 2, 4, 8, 16, 24]);
        assert_eq!(powers_up_to(32), [1, 2, 4, 8, 16, 32]);
    }
}
