//! Mixup (Zhang et al. 2018): blends every image of a batch, and its label, with another one. Random numbers
//! come from the host, so the device does not matter.

use crate::data::augment::generator;
use anyhow::{Context, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::Beta;
use tch::Tensor;

/// Sample number that seeds the draws of an epoch. No data set is that large.
const SAMPLE: usize = u32::MAX as usize - 1;

#[derive(Debug)]
pub struct Mixup {
    beta: Option<Beta<f64>>,
    rng: ChaCha8Rng,
}

impl Mixup {
    /// Draws blending weights from Beta(alpha, alpha); alpha 0 turns mixup off.
    pub fn new(alpha: f64, seed: u64, epoch: usize) -> Result<Self> {
        let beta = (alpha > 0.0).then(|| Beta::new(alpha, alpha)).transpose();
        let beta = beta.with_context(|| format!("trainer.training.mixup_alpha: {alpha}"))?;
        Ok(Self { beta, rng: generator(seed, epoch, SAMPLE) })
    }

    /// Blends images `[N, ...]` and labels `[N, 1]` with a permutation of themselves.
    pub fn blend(&mut self, images: Tensor, labels: Tensor) -> (Tensor, Tensor) {
        let Some(beta) = self.beta else { return (images, labels) };
        let weight = self.rng.sample(beta);
        let mut partners: Vec<i64> = (0..images.size()[0]).collect();
        partners.shuffle(&mut self.rng);
        let partners = Tensor::from_slice(&partners).to_device(images.device());
        let blend = |tensor: &Tensor| tensor * weight + tensor.index_select(0, &partners) * (1.0 - weight);
        (blend(&images), blend(&labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn labels_and_images_are_blended_alike_and_draws_depend_on_seed_and_epoch() {
        let labels = Tensor::from_slice(&[0.0f32, 1.0, 0.0, 1.0]).view([4, 1]);
        let images = labels.view([4, 1, 1, 1]) * 255.0;
        let draw = |alpha, seed, epoch| {
            let mut mixup = Mixup::new(alpha, seed, epoch).unwrap();
            (0..8).map(|_| mixup.blend(images.copy(), labels.copy())).collect::<Vec<_>>()
        };
        let mixed = draw(0.4, 1, 1);
        for (images, labels) in &mixed {
            let difference = images.view([4, 1]) / 255.0 - labels;
            assert!(difference.abs().max().double_value(&[]) < 1e-6);
            assert!((labels.sum(Kind::Float).double_value(&[]) - 2.0).abs() < 1e-5, "the mean stays");
        }
        let text = |draws: &[(Tensor, Tensor)]| draws.iter().map(|(_, l)| format!("{l}")).collect::<Vec<_>>();
        assert_eq!(text(&mixed), text(&draw(0.4, 1, 1)));
        assert_ne!(text(&mixed), text(&draw(0.4, 1, 2)));
        assert_ne!(text(&mixed), text(&draw(0.4, 2, 1)));
        assert!(draw(0.0, 1, 1).iter().all(|(unmixed, _)| unmixed.equal(&images)));
    }
}
