//! The distribution of the train fold's embeddings: mean, principal components and residual.

use anyhow::{Context, Result, ensure};
use cxr::embedding::{EmbeddingReference, OodScore};
use tch::{Kind, Tensor};

pub(crate) fn embedding_reference(
    embeddings: &[Vec<f32>],
    n_components: usize,
    score: OodScore,
) -> Result<EmbeddingReference> {
    let n = embeddings.len();
    let length = embeddings.first().context("no embeddings")?.len();
    ensure!(
        n > n_components && length > n_components,
        "{n_components} components need more than {n} images with {length} features"
    );
    let values: Vec<f32> = embeddings.iter().flatten().copied().collect();
    let matrix = Tensor::from_slice(&values).view([n as i64, length as i64]).to_kind(Kind::Double);
    let mean = matrix.mean_dim([0i64].as_slice(), true, Kind::Double);
    let centred = matrix - &mean;
    // tch's `linalg_svd` always passes a driver, which libtorch rejects on a CPU.
    let (_, singular_values, directions) = centred.svd(true, true);
    let k = n_components as i64;
    let components = directions.tr().narrow(0, 0, k);
    let deviations = singular_values.narrow(0, 0, k) / (n as f64 - 1.0).sqrt();
    let residual = &centred - centred.matmul(&components.tr()).matmul(&components);
    let residual_rms =
        residual.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double).mean(Kind::Double).sqrt();
    let rows = |tensor: &Tensor| -> Result<Vec<Vec<f32>>> {
        Ok(Vec::try_from(tensor.to_kind(Kind::Float).contiguous())?)
    };
    Ok(EmbeddingReference {
        mean: Vec::try_from(mean.to_kind(Kind::Float).flatten(0, -1))?,
        components: rows(&components)?,
        standard_deviations: Vec::try_from(deviations.to_kind(Kind::Float))?,
        residual_rms: residual_rms.double_value(&[]) as f32,
        score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_explain_what_varies() {
        // Varies along the first axis by 1, along the second by a tenth, and not along the third.
        let embeddings: Vec<Vec<f32>> = (0..100u8)
            .map(|i| vec![f32::from(i % 2) * 2.0 - 1.0, f32::from(i % 4 / 2) * 0.2 - 0.1, 5.0])
            .collect();
        let reference = embedding_reference(&embeddings, 1, OodScore::Residual).unwrap();
        assert!((reference.components[0][0].abs() - 1.0).abs() < 1e-5);
        assert!((reference.standard_deviations[0] - 1.005).abs() < 1e-3);
        assert!((reference.residual_rms - 0.1).abs() < 1e-5);
        assert!((reference.mean[2] - 5.0).abs() < 1e-6);
    }
}
