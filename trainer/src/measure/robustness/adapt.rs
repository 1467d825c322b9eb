//! Unsupervised adaptation: of batch normalisation statistics (AdaBN) and of embeddings (CORAL).

use super::model::{Answers, Backend, ModelUnderTest, batch};
use anyhow::{Result, bail};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

/// Smaller batches give poorer estimates of the statistics.
const BATCH: usize = 64;
/// Weight of a batch in libtorch's running statistics.
const MOMENTUM: f64 = 0.1;

/// Logits of the images, with the mean and variance of every batch normalisation estimated from these images.
/// Restores the network's own statistics afterwards.
pub(super) fn adabn(model: &mut ModelUnderTest, images: &[Vec<u8>]) -> Result<Vec<f64>> {
    let (size, seed) = (model.size(), model.evaluator.seed);
    let Backend::Network(network, device) = &model.backend else {
        bail!("a bundle's graph cannot be adapted")
    };
    let statistics: Vec<(String, Tensor)> =
        network.named_tensors().into_iter().filter(|(name, _)| name.contains(".running_")).collect();
    let own: Vec<Tensor> = statistics.iter().map(|(_, tensor)| tensor.copy()).collect();
    let logits = tch::no_grad(|| {
        // The fold is sorted by class; without a shuffle, batches would hold one class.
        let mut order: Vec<usize> = (0..images.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        // `chunks` would leave a small, noisy last batch.
        let n_batches = (images.len() / BATCH).max(1);
        let mut sums: Vec<Tensor> = own.iter().map(Tensor::zeros_like).collect();
        let mut squares = sums.iter().map(Tensor::copy).collect::<Vec<_>>();
        for number in 0..n_batches {
            let members: Vec<Vec<u8>> =
                order.iter().skip(number).step_by(n_batches).map(|i| images[*i].clone()).collect();
            for (_, tensor) in &statistics {
                let _ = tensor.shallow_clone().zero_();
            }
            let _ = network.logits(&batch(&members, size, *device), true);
            // The running statistics were zero, so they now hold the batch's times the momentum.
            for (((_, tensor), sum), square) in statistics.iter().zip(&mut sums).zip(&mut squares) {
                let found = tensor / MOMENTUM;
                *sum += &found;
                *square += found.square();
            }
        }
        // Law of total variance: the mean variance within batches plus the variance of their means.
        let n = n_batches as f64;
        let mean_spread: Vec<(String, Tensor)> = statistics
            .iter()
            .zip(sums.iter().zip(&squares))
            .filter(|((name, _), _)| name.ends_with(".running_mean"))
            .map(|((name, _), (sum, square))| {
                (name.replace(".running_mean", ".running_var"), square / n - (sum / n).square())
            })
            .collect();
        for ((name, tensor), sum) in statistics.iter().zip(&sums) {
            let spread = mean_spread.iter().find(|(of, _)| of == name);
            let value = spread.map_or_else(|| sum / n, |(_, spread)| sum / n + spread.clamp_min(0.0));
            tensor.shallow_clone().copy_(&value);
        }
        let scored = images
            .chunks(BATCH)
            .map(|images| {
                let logits = network.outputs(&batch(images, size, *device)).logits;
                Ok(Vec::<f32>::try_from(logits.flatten(0, -1))?)
            })
            .collect::<Result<Vec<_>>>();
        for ((_, tensor), own) in statistics.iter().zip(&own) {
            tensor.shallow_clone().copy_(own);
        }
        scored
    })?;
    Ok(logits.into_iter().flatten().map(f64::from).collect())
}

/// Logits after whitening the embeddings within the reference's principal components, where the train fold
/// has mean 0 and unit covariance. The part that the components do not explain stays unchanged.
pub(super) fn coral(model: &ModelUnderTest, answers: &Answers) -> Result<Vec<f64>> {
    let Backend::Network(network, _) = &model.backend else { bail!("a bundle's classifier cannot be read") };
    let reference = &model.reference;
    let coordinates = answers
        .embeddings
        .iter()
        .map(|embedding| Ok(reference.locate(embedding)?.coordinates))
        .collect::<Result<Vec<Vec<f32>>>>()?;
    let k = reference.components.len() as i64;
    let flat: Vec<f32> = coordinates.into_iter().flatten().collect();
    let z = Tensor::from_slice(&flat).view([-1, k]).to_kind(Kind::Double);
    let centred = &z - z.mean_dim([0i64].as_slice(), true, Kind::Double);
    let covariance = centred.tr().matmul(&centred) / (z.size()[0] - 1).max(1) as f64;
    let (values, vectors) = covariance.linalg_eigh("L");
    let whitening = (&vectors * values.clamp_min(1e-3).rsqrt()).matmul(&vectors.tr());
    let moved = centred.matmul(&whitening) - &z;
    // The classifier is linear: moving along a component changes the logit by the distance times the slope.
    let weight: Vec<f32> =
        Vec::try_from(network.named_tensors()["classifier.weight"].detach().flatten(0, -1))?;
    let slopes: Vec<f64> = reference
        .components
        .iter()
        .zip(&reference.standard_deviations)
        .map(|(component, deviation)| {
            let along: f64 = component.iter().zip(&weight).map(|(c, w)| f64::from(*c) * f64::from(*w)).sum();
            along * f64::from(*deviation)
        })
        .collect();
    let changes: Vec<f64> =
        Vec::try_from(moved.matmul(&Tensor::from_slice(&slopes).view([k, 1])).flatten(0, -1))?;
    Ok(answers.logits.iter().zip(changes).map(|(logit, change)| logit + change).collect())
}
