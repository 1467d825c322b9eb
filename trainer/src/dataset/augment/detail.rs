//! Detail and noise: what detectors, resizing and short exposures add or take away.

use super::{Variation, column, generator};
use rand::RngExt;
use tch::{Kind, Tensor};

/// Least half-length of the blur kernel: three of the standard deviations that training draws.
const LEAST_RADIUS: i64 = 4;

/// Multiplies by each image's gain what its blur takes away.
pub(super) fn change(images: &Tensor, varied: &[Variation]) -> Tensor {
    if varied.iter().all(|v| v.detail.is_none()) {
        return images.shallow_clone();
    }
    let gain = column(images, varied.iter().map(|v| v.detail.map_or(1.0, |detail| detail.gain)));
    let soft = blur(images, varied.iter().map(|v| v.detail.map_or(0.0, |detail| detail.sigma)));
    (&soft + (images - &soft) * gain).clamp(0.0, 255.0)
}

/// Gaussian blur with each image's own standard deviation, as two grouped convolutions; edges are replicated.
fn blur(images: &Tensor, sigmas: impl Iterator<Item = f64>) -> Tensor {
    let sigmas: Vec<f64> = sigmas.collect();
    let radius = sigmas.iter().map(|sigma| (3.0 * sigma).ceil() as i64).fold(LEAST_RADIUS, i64::max);
    let kernels: Vec<f32> = sigmas.iter().flat_map(|sigma| kernel(*sigma, radius)).collect();
    let (n, height, width) = (images.size()[0], images.size()[2], images.size()[3]);
    let kernels = Tensor::from_slice(&kernels).view([n, 1, 1, 2 * radius + 1]).to_device(images.device());
    let none = None::<Tensor>;
    let padded = images.view([1, n, height, width]).replication_pad2d([radius; 4]);
    padded
        .conv2d(&kernels, none.as_ref(), 1, 0, 1, n)
        .conv2d(&kernels.transpose(2, 3), none.as_ref(), 1, 0, 1, n)
        .view([n, 1, height, width])
}

fn kernel(sigma: f64, radius: i64) -> Vec<f32> {
    let weight = |offset: i64| {
        let distance = offset as f64 / sigma.max(1e-6);
        if offset == 0 { 1.0 } else { (-distance * distance / 2.0).exp() }
    };
    let weights: Vec<f64> = (-radius..=radius).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

/// Adds Gaussian noise. Each image draws from its own seed, so that it never depends on its neighbours.
pub(super) fn add_noise(images: &Tensor, varied: &[Variation]) -> Tensor {
    if varied.iter().all(|v| v.noise.0 == 0.0) {
        return images.shallow_clone();
    }
    let n_pixels = (images.size()[2] * images.size()[3]) as usize;
    let mut noise = Vec::with_capacity(n_pixels * varied.len());
    for Variation { noise: (deviation, seed), .. } in varied {
        let mut rng = generator(*seed, 0, 0);
        // The sum of four bytes is close enough to a normal variable, and four times as fast to draw.
        let scale = deviation * 255.0 / (4.0 * (256.0f64.powi(2) - 1.0) / 12.0).sqrt();
        noise.extend((0..n_pixels).map(|_| {
            let sum: i32 = rng.random::<u32>().to_le_bytes().into_iter().map(i32::from).sum();
            (f64::from(sum - 510) * scale) as f32
        }));
    }
    let noise = Tensor::from_slice(&noise).view_as(images).to_device(images.device());
    (images + noise.to_kind(Kind::Float)).clamp(0.0, 255.0)
}
