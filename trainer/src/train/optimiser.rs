//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) with a state that can be saved, unlike
//! tch's optimisers, and the moving average of the weights.

use crate::config::Training;
use crate::config::training::OptimiserKind;
use crate::model::Network;
use crate::model::weights::NamedTensors;
use tch::{Kind, Tensor};

const FIRST_MOMENT_DECAY: f64 = 0.9;
const SECOND_MOMENT_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    /// The first step, counted from 0, that updates this parameter.
    start: usize,
    /// Learning rate relative to the classifier's.
    rate_factor: f64,
}

#[derive(Debug)]
pub struct Optimiser {
    slots: Vec<Slot>,
    kind: OptimiserKind,
    weight_decay: f64,
    gradient_norm: Option<f64>,
}

impl Optimiser {
    /// Optimises the parameters that require gradients now. The backbone starts at step `backbone_start`. Its
    /// stages learn more slowly the further they are from the classifier (discriminative learning rates,
    /// Clark et al. 2020).
    pub fn new(network: &Network, training: &Training, backbone_start: usize) -> Self {
        let architecture = network.architecture();
        let slots = network
            .named_tensors()
            .into_iter()
            .filter(|(_, tensor)| tensor.requires_grad())
            .map(|(name, parameter)| {
                let zeros = parameter.detach().zeros_like();
                let start = if Network::is_head(&name) { 0 } else { backbone_start };
                let n_stages = architecture.stages_to_head(&name) as i32;
                let rate_factor = training.layer_decay.powi(n_stages);
                Slot { name, first_moment: zeros.copy(), second_moment: zeros, parameter, start, rate_factor }
            })
            .collect();
        let Training { optimiser: kind, weight_decay, gradient_norm, .. } = *training;
        Self { slots, kind, weight_decay, gradient_norm }
    }

    pub fn zero_grad(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.parameter.zero_grad());
    }

    /// `step` counts from 0.
    pub fn step(&mut self, step: usize, learning_rate: f64) {
        tch::no_grad(|| {
            let scale = self.gradient_scale(step);
            let decoupled = self.kind == OptimiserKind::AdamW;
            for Slot { parameter, first_moment, second_moment, start, rate_factor, .. } in &mut self.slots {
                let Some(steps) = (step + 1).checked_sub(*start).filter(|steps| *steps > 0) else { continue };
                let rate = learning_rate * *rate_factor;
                let first_correction = 1.0 - FIRST_MOMENT_DECAY.powi(steps as i32);
                let second_correction = 1.0 - SECOND_MOMENT_DECAY.powi(steps as i32);
                let mut gradient = parameter.grad();
                if let Some(scale) = &scale {
                    gradient *= scale;
                }
                // One-dimensional parameters are biases and normalisation weights, which need no decay.
                if parameter.dim() > 1 && decoupled {
                    *parameter *= 1.0 - rate * self.weight_decay;
                } else if parameter.dim() > 1 {
                    gradient += &*parameter * self.weight_decay;
                }
                let _ = first_moment.lerp_(&gradient, 1.0 - FIRST_MOMENT_DECAY);
                *second_moment *= SECOND_MOMENT_DECAY;
                *second_moment += gradient.square() * (1.0 - SECOND_MOMENT_DECAY);
                let denominator = (&*second_moment / second_correction).sqrt() + EPSILON;
                *parameter -= &*first_moment / denominator * (rate / first_correction);
            }
        });
    }

    pub fn state(&self) -> NamedTensors {
        let moments = |slot: &Slot| {
            let first = (format!("first.{}", slot.name), slot.first_moment.shallow_clone());
            [first, (format!("second.{}", slot.name), slot.second_moment.shallow_clone())]
        };
        self.slots.iter().flat_map(moments).collect()
    }

    /// Factor that clips the norm of all gradients together.
    fn gradient_scale(&self, step: usize) -> Option<Tensor> {
        let limit = self.gradient_norm?;
        let active = self.slots.iter().filter(|slot| slot.start <= step);
        let squares: Vec<Tensor> =
            active.map(|slot| slot.parameter.grad().square().sum(Kind::Float)).collect();
        let norm = Tensor::stack(&squares, 0).sum(Kind::Float).sqrt();
        Some((limit / (norm + EPSILON)).clamp_max(1.0))
    }
}

pub fn update_average(average: &Network, network: &Network, decay: f64) {
    tch::no_grad(|| {
        let current = network.named_tensors();
        for (name, mut tensor) in average.named_tensors() {
            let _ = tensor.lerp_(&current[&name], 1.0 - decay);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Precision};
    use tch::Device;

    #[test]
    fn earlier_stages_learn_more_slowly() {
        let training: Training = serde_json::from_value(serde_json::json!({
            "epochs": 1, "batch_size": 2, "optimiser": "adam", "head_first_epochs": 0, "mixup_alpha": 0.0,
            "loss": { "kind": "weighted_cross_entropy", "focal_gamma": 2.0, "label_smoothing": 0.0 },
            "learning_rate": 0.01, "layer_decay": 0.5, "warmup_fraction": 0.0, "weight_decay": 0.0,
            "gradient_norm": null, "average_decay": null, "patience": 1, "precision": "fp32", "workers": 1,
            "deterministic": false,
        }))
        .unwrap();
        tch::manual_seed(1);
        let network = Network::new(Architecture::ResNet50, 0.0, Precision::Fp32, Device::Cpu);
        let mut optimiser = Optimiser::new(&network, &training, 0);
        let copied = |(name, tensor): (_, Tensor)| (name, tensor.detach().copy());
        let before: NamedTensors = network.named_tensors().into_iter().map(copied).collect();
        let images = Tensor::rand([2, 1, 64, 64], (Kind::Float, Device::Cpu)) * 255.0;
        network.logits(&images, true).sum(Kind::Float).backward();
        optimiser.step(0, training.learning_rate);
        // Adam's first step equals the learning rate wherever the gradient is not zero. layer2 is the third
        // stage of five.
        for (name, factor) in
            [("classifier.weight", 1.0), ("layer4.0.conv1.weight", 0.5), ("layer2.0.conv1.weight", 0.125)]
        {
            let moved = (&network.named_tensors()[name] - &before[name]).abs().max().double_value(&[]);
            assert!((moved / (0.01 * factor) - 1.0).abs() < 0.02, "{name}: {moved}");
        }
    }
}
