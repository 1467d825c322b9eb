//! Logits and embeddings of a fold without augmentation, from the float32 network or an exported graph.

use crate::data::pixels::Pixels;
use crate::model::Network;
use crate::progress::Meter;
use anyhow::Result;
use runtime::Session;
use tch::{Device, Kind, Tensor};

/// Images per batch. Scores do not depend on it.
const BATCH: usize = 64;

#[derive(Debug, Default)]
pub struct Scores {
    /// Before calibration.
    pub logits: Vec<f64>,
    pub embeddings: Vec<Vec<f32>>,
}

pub fn score(network: &Network, pixels: &Pixels, device: Device, what: &str) -> Result<Scores> {
    score_batches(network, pixels.len(), what, |positions| grey_nchw(pixels, positions, device))
}

/// Scores images of the model's input size (columns, rows).
pub fn score_grey(
    network: &Network,
    images: &[&[u8]],
    size: (u32, u32),
    device: Device,
    what: &str,
) -> Result<Scores> {
    score_batches(network, images.len(), what, |positions| {
        let bytes: Vec<u8> = positions.iter().flat_map(|position| images[*position]).copied().collect();
        batch(&bytes, positions.len(), size, device)
    })
}

fn score_batches(
    network: &Network,
    n: usize,
    what: &str,
    input: impl Fn(&[usize]) -> Tensor,
) -> Result<Scores> {
    let meter = Meter::new(what, n);
    let mut scores = Scores::default();
    for positions in (0..n).collect::<Vec<_>>().chunks(BATCH) {
        let outputs = network.outputs(&input(positions));
        let logits: Vec<f32> = Vec::try_from(outputs.logits.flatten(0, -1))?;
        let embeddings: Vec<Vec<f32>> = Vec::try_from(outputs.embedding)?;
        scores.logits.extend(logits.into_iter().map(f64::from));
        scores.embeddings.extend(embeddings);
        meter.advance(positions.len(), String::new);
    }
    Ok(scores)
}

/// Images of a fold as network input: float32 `[N, 1, H, W]`.
pub fn grey_nchw(pixels: &Pixels, positions: &[usize], device: Device) -> Tensor {
    batch(&pixels.gather(positions), positions.len(), pixels.size, device)
}

/// `n` concatenated row-major images as network input: float32 `[N, 1, H, W]`.
pub fn batch(images: &[u8], n: usize, (width, height): (u32, u32), device: Device) -> Tensor {
    let shape = [n as i64, 1, i64::from(height), i64::from(width)];
    Tensor::from_data_size(images, &shape, Kind::Uint8).to_device(device).to_kind(Kind::Float)
}

/// Scores one image at a time with ONNX Runtime.
pub(crate) fn score_graph(session: &mut Session, pixels: &Pixels, what: &str) -> Result<Scores> {
    let meter = Meter::new(what, pixels.len());
    let mut scores = Scores::default();
    for position in 0..pixels.len() {
        let outputs = session.run(pixels.image(position), 1)?;
        scores.logits.push(f64::from(outputs.logits[0]));
        scores.embeddings.push(outputs.embedding);
        meter.advance(1, String::new);
    }
    Ok(scores)
}
