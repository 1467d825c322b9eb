//! Binary losses that weigh both classes equally.

use crate::config::training::{Loss, LossKind};
use tch::{Kind, Reduction, Tensor};

/// Class weights of one train fold; their mean over the fold is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightedLoss {
    negative: f64,
    positive: f64,
    loss: Loss,
}

impl WeightedLoss {
    /// Class weights are the inverse of the class frequencies.
    pub fn new(labels: &[bool], loss: Loss) -> Self {
        let n_positive = labels.iter().filter(|label| **label).count();
        let weight = |n: usize| labels.len() as f64 / (2.0 * n as f64);
        Self { negative: weight(labels.len() - n_positive), positive: weight(n_positive), loss }
    }

    /// Mean loss of a training batch; both tensors are `[N, 1]`.
    pub fn batch_loss(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        let targets = labels * (1.0 - self.loss.label_smoothing) + self.loss.label_smoothing / 2.0;
        let weights = self.weights(labels);
        match self.loss.kind {
            LossKind::WeightedCrossEntropy => cross_entropy(logits, &targets, &weights, Reduction::Mean),
            // Lin et al. 2017. The modulating factor uses the distance to the smoothed target.
            LossKind::Focal => {
                let distance = (&targets - logits.sigmoid()).abs();
                let modulation = distance.pow_tensor_scalar(self.loss.focal_gamma);
                (cross_entropy(logits, &targets, &weights, Reduction::None) * modulation).mean(Kind::Float)
            }
        }
    }

    /// Mean weighted cross-entropy, without smoothing or focal factor, for comparing epochs and trials.
    pub fn fold_loss(&self, logits: &[f64], positive: &[bool]) -> f64 {
        let labels: Vec<f64> = positive.iter().map(|label| f64::from(u8::from(*label))).collect();
        let labels = Tensor::from_slice(&labels);
        cross_entropy(&Tensor::from_slice(logits), &labels, &self.weights(&labels), Reduction::Mean)
            .double_value(&[])
    }

    fn weights(&self, labels: &Tensor) -> Tensor {
        labels * (self.positive - self.negative) + self.negative
    }
}

fn cross_entropy(logits: &Tensor, targets: &Tensor, weights: &Tensor, reduction: Reduction) -> Tensor {
    logits.binary_cross_entropy_with_logits(targets, Some(weights), None::<&Tensor>, reduction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Loss = Loss { kind: LossKind::WeightedCrossEntropy, focal_gamma: 2.0, label_smoothing: 0.0 };

    fn value(loss: Loss, logits: &[f32]) -> f64 {
        // Three positives of four: weights 2/3 and 2.
        let labels = [true, true, true, false];
        let targets = Tensor::from_slice(&[1f32, 1.0, 1.0, 0.0]).view([-1, 1]);
        let logits = Tensor::from_slice(logits).view([-1, 1]);
        WeightedLoss::new(&labels, loss).batch_loss(&logits, &targets).double_value(&[])
    }

    #[test]
    fn losses_equal_their_formulas() {
        let logits = [2.0f32, -1.0, 0.5, 0.3];
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let by_hand = |gamma: f64, smoothing: f64| {
            let terms = logits.iter().zip([1.0, 1.0, 1.0, 0.0]).map(|(z, y)| {
                let (p, weight) = (sigmoid(f64::from(*z)), if y > 0.5 { 2.0 / 3.0 } else { 2.0 });
                let target = y * (1.0 - smoothing) + smoothing / 2.0;
                let entropy = -(target * p.ln() + (1.0 - target) * (1.0 - p).ln());
                weight * entropy * (target - p).abs().powf(gamma)
            });
            terms.sum::<f64>() / 4.0
        };
        assert!((value(PLAIN, &logits) - by_hand(0.0, 0.0)).abs() < 1e-6);
        assert!((value(Loss { label_smoothing: 0.1, ..PLAIN }, &logits) - by_hand(0.0, 0.1)).abs() < 1e-6);
        assert!((value(Loss { kind: LossKind::Focal, ..PLAIN }, &logits) - by_hand(2.0, 0.0)).abs() < 1e-6);
    }

    #[test]
    fn the_loss_of_a_fold_ignores_smoothing() {
        let labels = [true, true, false, false];
        let logits = [3.0, 1.0, -2.0, 0.5];
        let smooth = WeightedLoss::new(&labels, Loss { label_smoothing: 0.2, ..PLAIN });
        let plain = WeightedLoss::new(&labels, PLAIN);
        assert!((smooth.fold_loss(&logits, &labels) - plain.fold_loss(&logits, &labels)).abs() < 1e-12);
    }
}
