//! Parity: ONNX Runtime must reproduce the outputs of libtorch for single images and for a batch.

use crate::model::Network;
use anyhow::{Result, ensure};
use runtime::{ModelOutputs, Session};
use std::fmt;
use tch::{Device, Kind, Tensor};

pub const TOLERANCE: f64 = 1e-4;

/// Largest relative difference of each output: `max|a - b| / max(max|b|, 1)` with `b` from libtorch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parity {
    pub n: usize,
    pub logits: f64,
    pub cam: f64,
    pub embedding: f64,
}

impl Parity {
    pub fn check(&self) -> Result<()> {
        // Written so that NaN fails.
        let passes =
            [self.logits, self.cam, self.embedding].iter().all(|difference| *difference <= TOLERANCE);
        ensure!(
            passes,
            "the exported graph does not reproduce the network: {self}, allowed is {TOLERANCE:e}"
        );
        Ok(())
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, logits, cam, embedding } = self;
        write!(
            f,
            "ONNX Runtime against libtorch on {n} images: logits {logits:.1e}, cam {cam:.1e}, embedding {embedding:.1e} relative"
        )
    }
}

/// Compares the outputs for uint8 images of `size`, columns and rows.
pub fn compare(
    network: &Network,
    session: &mut Session,
    images: &[Vec<u8>],
    size: (u32, u32),
) -> Result<Parity> {
    let n = images.len();
    let pixels = images.concat();
    let shape = [n as i64, 1, i64::from(size.1), i64::from(size.0)];
    let device = network.parameters().device();
    let grey_nchw =
        Tensor::from_data_size(&pixels, &shape, Kind::Uint8).to_device(device).to_kind(Kind::Float);
    let expected = network.outputs(&grey_nchw);
    let batch = session.run(&pixels, n)?;
    let single = images.iter().map(|image| Ok(session.run(image, 1)?)).collect::<Result<Vec<_>>>()?;
    let worst = |expected: &Tensor, part: fn(&ModelOutputs) -> &[f32]| -> Result<f64> {
        let expected: Vec<f32> = Vec::try_from(expected.to_device(Device::Cpu).contiguous().flatten(0, -1))?;
        let single: Vec<f32> = single.iter().flat_map(part).copied().collect();
        Ok(difference(&expected, part(&batch))?.max(difference(&expected, &single)?))
    };
    Ok(Parity {
        n,
        logits: worst(&expected.logits, |outputs| &outputs.logits)?,
        cam: worst(&expected.cam, |outputs| &outputs.cam)?,
        embedding: worst(&expected.embedding, |outputs| &outputs.embedding)?,
    })
}

fn difference(expected: &[f32], found: &[f32]) -> Result<f64> {
    ensure!(expected.len() == found.len(), "{} values, expected {}", found.len(), expected.len());
    let largest = expected.iter().fold(1.0f64, |largest, value| largest.max(f64::from(value.abs())));
    // `f64::max` would drop a NaN.
    let differences = expected.iter().zip(found).map(|(a, b)| f64::from(a - b).abs() / largest);
    Ok(differences.fold(0.0, |worst, d| if d.is_nan() || d > worst { d } else { worst }))
}
