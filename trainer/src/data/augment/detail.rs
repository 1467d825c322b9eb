//! Softer or sharper detail and noise, as from other detectors, resizing and exposures.

use super::batch::{column, only};
use super::draw::{Detail, Variation, generator};
use rand::Rng;
use tch::{Kind, Tensor};

/// Smallest half-length of the blur kernel in pixels.
const LEAST_RADIUS: i64 = 4;

/// Multiplies the detail that each image's blur removes by the image's gain.
pub(super) fn change(images: Tensor, varied: &[Variation]) -> Tensor {
    let details: Vec<Detail> = varied.iter().filter_map(|v| v.detail).collect();
    only(
        images,
        varied,
        |v| v.detail.is_some(),
        |images| {
            let gain = column(images, details.iter().map(|detail| detail.gain));
            let sigmas: Vec<f64> = details.iter().map(|detail| detail.sigma).collect();
            let soft = blur(images, &sigmas);
            ((images - &soft).g_mul_(&gain).g_add_(&soft)).clamp_(0.0, 255.0)
        },
    )
}

/// Gaussian blur with one standard deviation per image, as two grouped convolutions; edges are replicated.
fn blur(images: &Tensor, sigmas: &[f64]) -> Tensor {
    let radius = sigmas.iter().map(|sigma| reach(*sigma)).fold(LEAST_RADIUS, i64::max);
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

fn reach(sigma: f64) -> i64 {
    ((3.0 * sigma).ceil() as i64).max(LEAST_RADIUS)
}

/// Zero beyond `reach(sigma)`, so that an image does not depend on other kernels of its batch.
fn kernel(sigma: f64, radius: i64) -> Vec<f32> {
    let weight = |offset: i64| {
        let distance = offset as f64 / sigma.max(1e-6);
        if offset == 0 {
            1.0
        } else if offset.abs() > reach(sigma) {
            0.0
        } else {
            (-distance * distance / 2.0).exp()
        }
    };
    let weights: Vec<f64> = (-radius..=radius).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

pub(super) fn add_noise(images: &Tensor, noise: &Tensor, varied: &[Variation]) -> Tensor {
    let scale = column(images, varied.iter().map(|v| v.noise.0 * 255.0 / drawn_deviation()));
    noise.to_kind(Kind::Float).g_mul_(&scale).g_add_(images).clamp_(0.0, 255.0)
}

fn drawn_deviation() -> f64 {
    (4.0 * (256.0f64.powi(2) - 1.0) / 12.0).sqrt()
}

/// Noise of mean 0 from each image's seed; none if no image has noise. The sum of four bytes is close enough
/// to a normal variable, and four times as fast to draw.
pub(super) fn draw_noise(varied: &[Variation], n_pixels: usize) -> Option<Vec<i16>> {
    if varied.iter().all(|v| v.noise.0 == 0.0) {
        return None;
    }
    let mut bytes = vec![0; 4 * n_pixels];
    let mut noise = Vec::with_capacity(n_pixels * varied.len());
    for Variation { noise: (deviation, seed), .. } in varied {
        if *deviation > 0.0 {
            generator(*seed, 0, 0).fill_bytes(&mut bytes);
        }
        noise.extend(bytes.as_chunks::<4>().0.iter().map(|[a, b, c, d]| {
            (u16::from(*a) + u16::from(*b) + u16::from(*c) + u16::from(*d)) as i16 - 510
        }));
    }
    Some(noise)
}
