//! Statistics of batch normalisation for weights that were never trained together: those of the train fold.

use crate::data::pixels::Pixels;
use crate::model::Network;
use crate::model::weights::NamedTensors;
use crate::train::score::grey_nchw;
use tch::Device;

/// Images a batch.
const BATCH: usize = 64;
/// The share of a batch in the running statistics (PyTorch's default, which the layers have).
const MOMENTUM: f64 = 0.1;

/// Replaces every running mean and variance by the mean over the batches of the images, un-augmented and in their order.
pub(super) fn estimate(network: &Network, pixels: &Pixels, device: Device) {
    let statistics: NamedTensors = network
        .named_tensors()
        .into_iter()
        .filter(|(name, _)| name.ends_with(".running_mean") || name.ends_with(".running_var"))
        .collect();
    let mut sums: Vec<_> = statistics.values().map(tch::Tensor::zeros_like).collect();
    // Classes are sorted in a fold: a stride mixes them in every batch.
    let n_batches = pixels.len().div_ceil(BATCH).max(1);
    tch::no_grad(|| {
        for first in 0..n_batches {
            let positions: Vec<usize> = (first..pixels.len()).step_by(n_batches).collect();
            // From zero, a batch leaves the momentum's share of its own statistics.
            for tensor in statistics.values() {
                let _ = tensor.shallow_clone().zero_();
            }
            let _ = network.logits(&grey_nchw(pixels, &positions, device), true);
            for (sum, tensor) in sums.iter_mut().zip(statistics.values()) {
                *sum += tensor / MOMENTUM;
            }
        }
        for (sum, tensor) in sums.iter().zip(statistics.values()) {
            tensor.shallow_clone().copy_(&(sum / n_batches as f64));
        }
    });
}
