//! AdamW (Loshchilov and Hutter 2019) whose state can be saved, which tch's own optimisers do not allow, and the
//! running average of the weights.

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
    first: Tensor,
    second: Tensor,
}

/// The optimiser of one network's trainable parameters.
#[derive(Debug)]
pub struct AdamW {
    slots: Vec<Slot>,
    weight_decay: f64,
    gradient_norm: Option<f64>,
}

impl AdamW {
    /// An optimiser that has made no step.
    pub fn new(network: &Network, weight_decay: f64, gradient_norm: Option<f64>) -> Self {
        let slots = network
            .named_tensors()
            .into_iter()
            .filter(|(_, tensor)| tensor.requires_grad())
            .map(|(name, parameter)| {
                let zeros = parameter.detach().zeros_like();
                Slot { name, first: zeros.copy(), second: zeros, parameter }
            })
            .collect();
        Self { slots, weight_decay, gradient_norm }
    }

    /// Forgets all gradients.
    pub fn zero_grad(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.parameter.zero_grad());
    }

    /// One step along the gradients; `step` counts from 0.
    pub fn step(&mut self, step: usize, learning_rate: f64) {
        tch::no_grad(|| {
            let shrink = self.gradient_scale();
            let steps = step as i32 + 1;
            let first_correction = 1.0 - FIRST_MOMENT_DECAY.powi(steps);
            let second_correction = 1.0 - SECOND_MOMENT_DECAY.powi(steps);
            for Slot { parameter, first, second, .. } in &mut self.slots {
                let mut gradient = parameter.grad();
                if let Some(shrink) = &shrink {
                    gradient *= shrink;
                }
                let _ = first.lerp_(&gradient, 1.0 - FIRST_MOMENT_DECAY);
                *second *= SECOND_MOMENT_DECAY;
                *second += gradient.square() * (1.0 - SECOND_MOMENT_DECAY);
                // Vectors are biases and normalisation: pulling them to zero regularises nothing.
                if parameter.dim() > 1 {
                    *parameter *= 1.0 - learning_rate * self.weight_decay;
                }
                let denominator = (&*second / second_correction).sqrt() + EPSILON;
                *parameter -= &*first / denominator * (learning_rate / first_correction);
            }
        });
    }

    /// The moments, for a checkpoint.
    pub fn state(&self) -> NamedTensors {
        let moments = |slot: &Slot| {
            let first = (format!("first.{}", slot.name), slot.first.shallow_clone());
            [first, (format!("second.{}", slot.name), slot.second.shallow_clone())]
        };
        self.slots.iter().flat_map(moments).collect()
    }

    /// What gradients are multiplied by so that their common norm stays within the limit.
    fn gradient_scale(&self) -> Option<Tensor> {
        let limit = self.gradient_norm?;
        let squares: Vec<Tensor> =
            self.slots.iter().map(|slot| slot.parameter.grad().square().sum(Kind::Float)).collect();
        let norm = Tensor::stack(&squares, 0).sum(Kind::Float).sqrt();
        Some((limit / (norm + EPSILON)).clamp_max(1.0))
    }
}

/// Moves every parameter and buffer of `average` towards `network`'s.
pub fn update_average(average: &Network, network: &Network, decay: f64) {
    tch::no_grad(|| {
        let current = network.named_tensors();
        for (name, mut tensor) in average.named_tensors() {
            let _ = tensor.lerp_(&current[&name], 1.0 - decay);
        }
    });
}
