//! The loss: weighted cross-entropy or focal loss over softened labels. Everything is linear in the label, so that a
//! mixture of two images costs the mixture of their losses.

use crate::config::training::{Loss, LossKind};
use tch::{Kind, Tensor};

/// Weights that make both classes count alike, with a mean of 1 over the train fold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassWeights {
    /// Of a normal image.
    pub negative: f64,
    /// Of a pneumonia.
    pub positive: f64,
}

impl ClassWeights {
    /// The weights for these labels, of which there are both kinds.
    pub fn of(labels: &[bool]) -> Self {
        let n_positive = labels.iter().filter(|label| **label).count();
        let weight = |n: usize| labels.len() as f64 / (2.0 * n as f64);
        Self { negative: weight(labels.len() - n_positive), positive: weight(n_positive) }
    }
}

/// What a step descends on, and what an epoch is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    weights: ClassWeights,
    gamma: f64,
    label_smoothing: f64,
}

impl Objective {
    /// The configured loss under the class weights of the train fold.
    pub fn new(loss: &Loss, weights: ClassWeights) -> Self {
        // Weighted cross-entropy is the focal loss whose modulating factor has the exponent 0.
        let gamma = match loss.kind {
            LossKind::WeightedCrossEntropy => 0.0,
            LossKind::Focal => loss.gamma,
        };
        Self { weights, gamma, label_smoothing: loss.label_smoothing }
    }

    /// Mean loss of a batch: logits and labels in 0 to 1, both float32 `[N, 1]`.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        let labels = labels * (1.0 - self.label_smoothing) + self.label_smoothing / 2.0;
        mean_loss(logits, &labels, self.weights, self.gamma)
    }

    /// Mean weighted cross-entropy with hard labels, whatever the kind: figures of different kinds compare.
    pub fn cross_entropy(&self, logits: &[f64], positive: &[bool]) -> f64 {
        let labels: Vec<f64> = positive.iter().map(|label| f64::from(u8::from(*label))).collect();
        mean_loss(&Tensor::from_slice(logits), &Tensor::from_slice(&labels), self.weights, 0.0)
            .double_value(&[])
    }
}

/// Focal loss (Lin et al. 2017) `-w (1 - p)^gamma log p`, with `p` the probability of the label's class: the weights of
/// the classes take the place of the paper's alpha.
fn mean_loss(logits: &Tensor, labels: &Tensor, weights: ClassWeights, gamma: f64) -> Tensor {
    // softplus(-x) = -log p and softplus(x) = -log (1 - p) for the positive class: no logarithm of a rounded zero.
    let (if_positive, if_negative) = ((-logits).softplus(), logits.softplus());
    let (positive, negative) = if gamma == 0.0 {
        (if_positive, if_negative)
    } else {
        let miss = |surprise: &Tensor| (surprise * -gamma).exp();
        (miss(&if_negative) * &if_positive, miss(&if_positive) * &if_negative)
    };
    let loss: Tensor = labels * positive * weights.positive + (1.0 - labels) * negative * weights.negative;
    loss.mean(None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Reduction};

    const WEIGHTS: ClassWeights = ClassWeights { negative: 2.0, positive: 0.5 };

    fn objective(kind: LossKind, gamma: f64, label_smoothing: f64) -> Objective {
        Objective::new(&Loss { kind, gamma, label_smoothing }, WEIGHTS)
    }

    fn batch() -> (Tensor, Tensor) {
        let logits = Tensor::from_slice(&[-60.0f32, -1.5, 0.0, 0.3, 2.0, 60.0]).view([-1, 1]);
        (logits.set_requires_grad(true), Tensor::from_slice(&[1.0f32, 0.0, 1.0, 0.0, 1.0, 0.0]).view([-1, 1]))
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found}, expected {expected}");
    }

    #[test]
    fn the_weights_have_a_mean_of_one_and_balance_the_classes() {
        let weights = ClassWeights::of(&[true, true, true, false]);
        close(3.0 * weights.positive, weights.negative);
        close(3.0 * weights.positive + weights.negative, 4.0);
    }

    #[test]
    fn without_smoothing_it_is_libtorchs_weighted_cross_entropy() {
        let (logits, labels) = batch();
        let weights = &labels * (WEIGHTS.positive - WEIGHTS.negative) + WEIGHTS.negative;
        let expected =
            logits.binary_cross_entropy_with_logits(&labels, Some(weights), None::<Tensor>, Reduction::Mean);
        let objective = objective(LossKind::WeightedCrossEntropy, 2.0, 0.0);
        close(objective.loss(&logits, &labels).double_value(&[]), expected.double_value(&[]));
        let plain = objective.cross_entropy(&[-1.5, 2.0], &[false, true]);
        close(plain, (2.0 * (-1.5f64).exp().ln_1p() + 0.5 * (-2.0f64).exp().ln_1p()) / 2.0);
    }

    #[test]
    fn the_focal_loss_is_its_formula_and_forgives_what_is_certain() {
        let (gamma, x) = (2.0, 2.0f64);
        let objective = objective(LossKind::Focal, gamma, 0.0);
        let one = |logit: f64, label: f64| {
            let tensor = |value: f64| Tensor::from_slice(&[value as f32]).view([1, 1]);
            objective.loss(&tensor(logit), &tensor(label)).double_value(&[])
        };
        let p = 1.0 / (1.0 + (-x).exp());
        close(one(x, 1.0), -0.5 * (1.0 - p).powf(gamma) * p.ln());
        close(one(x, 0.0), -2.0 * p.powf(gamma) * (1.0 - p).ln());
        assert!(one(30.0, 1.0) < 1e-12);
    }

    #[test]
    fn gradients_are_numbers_however_wrong_the_network_is() {
        for kind in [LossKind::WeightedCrossEntropy, LossKind::Focal] {
            let (logits, labels) = batch();
            objective(kind, 0.5, 0.05).loss(&logits, &labels).backward();
            assert_eq!(logits.grad().isfinite().all().int64_value(&[]), 1, "{kind:?}");
        }
    }

    #[test]
    fn a_mixture_costs_the_mixture_of_the_losses() {
        let (logits, labels) = batch();
        let objective = objective(LossKind::Focal, 2.0, 0.1);
        let loss = |labels: &Tensor| objective.loss(&logits, labels).double_value(&[]);
        let flipped = Tensor::ones([6, 1], (Kind::Float, Device::Cpu)) - &labels;
        close(loss(&(&labels * 0.7 + &flipped * 0.3)), 0.7 * loss(&labels) + 0.3 * loss(&flipped));
    }
}
