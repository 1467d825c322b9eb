//! Adam and AdamW whose state can be saved, which tch's own optimisers do not allow, and the running average of the
//! weights.

use crate::config::Training;
use crate::config::training::OptimiserKind;
use crate::model::weights::NamedTensors;
use crate::model::{N_STAGES, Network};
use anyhow::Result;
use tch::{Device, Kind, Tensor};

const FIRST_MOMENT_DECAY: f64 = 0.9;
const SECOND_MOMENT_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;

#[derive(Debug)]
struct Slot {
    name: String,
    stage: usize,
    parameter: Tensor,
    first: Tensor,
    second: Tensor,
}

/// The optimiser of one network's parameters. A parameter of a frozen stage keeps its value, its moments and its count
/// of updates, so that a stage that thaws later begins as if it were the first step.
#[derive(Debug)]
pub struct Optimiser {
    slots: Vec<Slot>,
    /// Updates that each stage and the classifier have had, float32 `[N_STAGES + 1]`.
    updates: Tensor,
    kind: OptimiserKind,
    weight_decay: f64,
    gradient_norm: Option<f64>,
    layer_decay: f64,
}

impl Optimiser {
    /// An optimiser that has made no step.
    pub fn new(network: &Network, training: &Training) -> Self {
        let slots = network
            .named_tensors()
            .into_iter()
            .filter(|(_, tensor)| tensor.requires_grad())
            .map(|(name, parameter)| {
                let zeros = parameter.detach().zeros_like();
                Slot {
                    stage: network.architecture().stage_of(&name),
                    name,
                    first: zeros.copy(),
                    second: zeros,
                    parameter,
                }
            })
            .collect();
        Self {
            slots,
            updates: Tensor::zeros([N_STAGES as i64 + 1], (Kind::Float, Device::Cpu)),
            kind: training.optimiser,
            weight_decay: training.weight_decay,
            gradient_norm: training.gradient_norm,
            layer_decay: training.layer_decay,
        }
    }

    /// Forgets all gradients.
    pub fn zero_grad(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.parameter.zero_grad());
    }

    /// One step along the gradients of everything behind the first `n_frozen` stages.
    ///
    /// # Errors
    /// When the counts of updates cannot be read.
    pub fn step(&mut self, learning_rate: f64, n_frozen: usize) -> Result<()> {
        tch::no_grad(|| {
            let shrink = self.gradient_scale(n_frozen);
            let mut counted = self.updates.narrow(0, n_frozen as i64, (N_STAGES + 1 - n_frozen) as i64);
            counted += 1.0;
            let updates = Vec::<f32>::try_from(&self.updates)?;
            let (kind, weight_decay, layer_decay) = (self.kind, self.weight_decay, self.layer_decay);
            for slot in self.slots.iter_mut().filter(|slot| slot.stage >= n_frozen) {
                let mut gradient = slot.parameter.grad();
                if let Some(shrink) = &shrink {
                    gradient *= shrink;
                }
                let rate = learning_rate * layer_decay.powi((N_STAGES - slot.stage) as i32);
                // Vectors are biases and normalisation: pulling them to zero regularises nothing.
                if weight_decay > 0.0 && slot.parameter.dim() > 1 {
                    match kind {
                        OptimiserKind::Adam => gradient += &slot.parameter * weight_decay,
                        OptimiserKind::AdamW => slot.parameter *= 1.0 - rate * weight_decay,
                    }
                }
                slot.descend(&gradient, rate, f64::from(updates[slot.stage]));
            }
            Ok(())
        })
    }

    /// The moments and the counts of updates, for a checkpoint.
    pub fn state(&self) -> NamedTensors {
        let moments = |slot: &Slot| {
            let first = (format!("first.{}", slot.name), slot.first.shallow_clone());
            [first, (format!("second.{}", slot.name), slot.second.shallow_clone())]
        };
        let updates = ("updates".to_owned(), self.updates.shallow_clone());
        self.slots.iter().flat_map(moments).chain([updates]).collect()
    }

    /// What gradients are multiplied by so that their common norm stays within the limit.
    fn gradient_scale(&self, n_frozen: usize) -> Option<Tensor> {
        let limit = self.gradient_norm?;
        let thawed = self.slots.iter().filter(|slot| slot.stage >= n_frozen);
        let squares: Vec<Tensor> =
            thawed.map(|slot| slot.parameter.grad().square().sum(Kind::Float)).collect();
        let norm = Tensor::stack(&squares, 0).sum(Kind::Float).sqrt();
        Some((limit / (norm + EPSILON)).clamp_max(1.0))
    }
}

impl Slot {
    /// Adam's step (Kingma and Ba 2015, algorithm 1); `updates` counts this one.
    fn descend(&mut self, gradient: &Tensor, rate: f64, updates: f64) {
        let first_correction = 1.0 - FIRST_MOMENT_DECAY.powf(updates);
        let second_correction = 1.0 - SECOND_MOMENT_DECAY.powf(updates);
        let _ = self.first.lerp_(gradient, 1.0 - FIRST_MOMENT_DECAY);
        self.second *= SECOND_MOMENT_DECAY;
        self.second += gradient.square() * (1.0 - SECOND_MOMENT_DECAY);
        let denominator = (&self.second / second_correction).sqrt() + EPSILON;
        self.parameter -= &self.first / denominator * (rate / first_correction);
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
