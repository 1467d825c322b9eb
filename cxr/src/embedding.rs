//! Position of an embedding relative to the training data: projection and out-of-distribution score.

use serde::{Deserialize, Serialize};

/// Principal components of the embeddings of known images, with the spread along them and of the residual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingReference {
    /// Mean embedding, `[D]`.
    pub mean: Vec<f32>,
    /// Orthonormal principal directions, `[K][D]`, by descending variance.
    pub components: Vec<Vec<f32>>,
    /// Standard deviation along each direction, `[K]`.
    pub standard_deviations: Vec<f32>,
    /// Root mean square length of the residual, which the components do not explain.
    pub residual_rms: f32,
    /// Formula of the out-of-distribution score. Old bundles do not state it and mean the first.
    #[serde(default, skip_serializing_if = "OodScore::is_default")]
    pub score: OodScore,
}

/// Out-of-distribution scores. Each is about 1 for embeddings like the known ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OodScore {
    /// `sqrt((sum z_k^2 + r^2) / (K + 1))` with `r` the residual length over its RMS: a Mahalanobis distance
    /// in a probabilistic PCA model (Tipping and Bishop 1999), scaled to be independent of K.
    #[default]
    Mahalanobis,
    /// The residual length over its RMS (as in ViM, Wang et al. 2022). The leading components describe how
    /// known images differ; unknown structure shows in the residual, where K other terms do not dilute it.
    Residual,
}

impl OodScore {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    const fn is_default(&self) -> bool {
        matches!(self, Self::Mahalanobis)
    }

    /// Name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mahalanobis => "mahalanobis",
            Self::Residual => "residual",
        }
    }
}

/// Position of one embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingPosition {
    /// Coordinates along the components, in standard deviations, `[K]`.
    pub coordinates: Vec<f32>,
    /// Out-of-distribution score; see [`OodScore`].
    pub ood_score: f64,
}

/// The embedding's length differs from the reference's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an embedding has {found} values, the reference describes {expected}")]
pub struct EmbeddingMismatch {
    /// Length of the embedding.
    pub found: usize,
    /// Length of the reference.
    pub expected: usize,
}

impl EmbeddingReference {
    /// Projects an embedding and scores its distance. An embedding that is not finite scores `f64::MAX`.
    pub fn locate(&self, embedding: &[f32]) -> Result<EmbeddingPosition, EmbeddingMismatch> {
        if embedding.len() != self.mean.len() {
            return Err(EmbeddingMismatch { found: embedding.len(), expected: self.mean.len() });
        }
        let centred: Vec<f32> = embedding.iter().zip(&self.mean).map(|(e, m)| e - m).collect();
        let squared_length: f64 = centred.iter().map(|c| f64::from(*c).powi(2)).sum();
        let mut explained = 0.0;
        let mut score = 0.0;
        let mut coordinates = Vec::with_capacity(self.components.len());
        for (component, deviation) in self.components.iter().zip(&self.standard_deviations) {
            let along: f64 = component.iter().zip(&centred).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let z = along / f64::from(*deviation);
            explained += along * along;
            score += z * z;
            coordinates.push(z as f32);
        }
        let unexplained = squared_length - explained;
        // Rounding may take it below zero. `max` would turn a NaN into zero, the score of a perfectly
        // familiar image.
        let unexplained = if unexplained < 0.0 { 0.0 } else { unexplained };
        let residual = unexplained / f64::from(self.residual_rms).powi(2);
        let ood = match self.score {
            OodScore::Mahalanobis => ((score + residual) / (self.components.len() as f64 + 1.0)).sqrt(),
            OodScore::Residual => residual.sqrt(),
        };
        Ok(EmbeddingPosition { coordinates, ood_score: if ood.is_finite() { ood } else { f64::MAX } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_one_at_one_deviation_each_way_and_grows_outside() {
        let reference = EmbeddingReference {
            mean: vec![1.0, 2.0, 3.0],
            components: vec![vec![1.0, 0.0, 0.0]],
            standard_deviations: vec![2.0],
            residual_rms: 0.5,
            score: OodScore::Mahalanobis,
        };
        let near = reference.locate(&[3.0, 2.5, 3.0]).unwrap();
        assert!((near.ood_score - 1.0).abs() < 1e-6 && (near.coordinates[0] - 1.0).abs() < 1e-6);
        let far = reference.locate(&[1.0, 2.0, 13.0]).unwrap();
        assert!((far.ood_score - (400.0f64 / 2.0).sqrt()).abs() < 1e-3);
        assert_eq!(reference.locate(&[0.0]), Err(EmbeddingMismatch { found: 1, expected: 3 }));
        assert!(reference.locate(&[f32::NAN, 0.0, 0.0]).unwrap().ood_score > 1e300);
    }

    #[test]
    fn the_residual_ignores_what_known_images_differ_in_and_old_references_keep_their_score() {
        let text = r#"{"mean":[0,0],"components":[[1,0]],"standard_deviations":[2],"residual_rms":0.5}"#;
        let old: EmbeddingReference = serde_json::from_str(text).unwrap();
        assert_eq!(old.score, OodScore::Mahalanobis);
        assert!(!serde_json::to_string(&old).unwrap().contains("score"), "old programs can read it");
        let new = EmbeddingReference { score: OodScore::Residual, ..old };
        let score = |embedding: &[f32]| new.locate(embedding).unwrap().ood_score;
        assert!(score(&[100.0, 0.0]).abs() < 1e-6 && (score(&[0.0, 1.5]) - 3.0).abs() < 1e-6);
        assert!(score(&[0.0, f32::NAN]) > 1e300);
    }
}
