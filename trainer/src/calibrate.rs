//! Calibration: from logits to probabilities, decisions and the reference that monitoring compares with. Everything is
//! fitted on the calibrate fold, except where embeddings lie, which the train fold says.

use crate::config::Calibration;
use crate::console::say;
use crate::dataset::folds::Fold;
use crate::files;
use crate::run::RunDirectory;
use crate::trained::TrainedRun;
use anyhow::{Context, Result, ensure};
use cxr::decide::{OperatingPoint, ReviewBand};
use cxr::embedding::EmbeddingReference;
use cxr::reference::{Quantiles, Reference};
use cxr::scoring::confusion::ConfusionMatrix;
use cxr::scoring::reliability::bins_equal_width;
use cxr::scoring::roc::{RocCurve, RocPoint};
use cxr::{AffineCalibration, DecisionPolicy};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Bins of every reliability diagram.
pub const CALIBRATION_BINS: usize = 15;
/// The file in the run directory.
const FILE: &str = "calibration.json";

/// `calibration.json`: what belongs to one set of weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// The weights it was fitted for.
    pub weights_sha256: String,
    /// Logit to probability.
    pub calibration: AffineCalibration,
    /// Probability to decision.
    pub policy: DecisionPolicy,
    /// What the scores and embeddings of known images look like.
    pub reference: Reference,
}

impl Calibrated {
    /// Reads the calibration of a run.
    ///
    /// # Errors
    /// When there is none, or it was fitted for other weights.
    pub fn load(run: &RunDirectory, weights_sha256: &str) -> Result<Self> {
        let file = run.file(FILE);
        let text = std::fs::read(&file).with_context(|| {
            format!("{}: cannot be read; run `cxr-trainer calibrate` first", file.display())
        })?;
        let calibrated: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{}: is no calibration", file.display()))?;
        ensure!(
            calibrated.weights_sha256 == weights_sha256,
            "{}: was fitted for other weights; run `cxr-trainer calibrate` again",
            file.display()
        );
        Ok(calibrated)
    }

    /// Calibrated probabilities of logits.
    pub fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        logits.iter().map(|logit| self.calibration.apply(*logit).value()).collect()
    }
}

/// Fits calibration, operating point and reference, and writes them down.
///
/// # Errors
/// When the scores do not allow it.
pub fn calibrate(trained: &TrainedRun) -> Result<Calibrated> {
    let config = &trained.config.calibration;
    let embedding = embedding_reference(&trained.score(Fold::Train)?.1.embeddings, config.components)?;
    let (pixels, scores) = trained.score(Fold::Calibrate)?;
    let positive = pixels.positive();
    let calibration = AffineCalibration::fit(&scores.logits, &positive)?;
    let probabilities: Vec<f64> =
        scores.logits.iter().map(|logit| calibration.apply(*logit).value()).collect();
    let ood_scores =
        scores.embeddings.iter().map(|e| Ok(embedding.locate(e)?.ood_score)).collect::<Result<Vec<f64>>>()?;
    let policy = policy(config, &probabilities, &positive, &ood_scores)?;
    let n_positive = positive.iter().filter(|label| **label).count();
    let reference = Reference {
        fold: Fold::Calibrate.name().to_owned(),
        n: positive.len(),
        base_rate: n_positive as f64 / positive.len() as f64,
        statistics: Reference::statistics_of(&pixels.statistics),
        probability: Quantiles::of(&probabilities).context("no probabilities")?,
        calibration: bins_equal_width(&probabilities, &positive, CALIBRATION_BINS),
        embedding,
    };
    let calibrated =
        Calibrated { weights_sha256: trained.weights_sha256.clone(), calibration, policy, reference };
    files::write_json(&trained.run.file(FILE), &calibrated)?;
    report(&calibrated);
    Ok(calibrated)
}

fn report(calibrated: &Calibrated) {
    let Calibrated { calibration, policy, .. } = calibrated;
    say(format!("probability = sigmoid({:.4} x logit {:+.4})", calibration.scale, calibration.bias));
    say(format!(
        "operating point {:.4}: sensitivity {:.4}, specificity {:.4} on {} images; review from {:.4} to {:.4}; out of distribution above {:.3}",
        policy.threshold,
        policy.chosen.sensitivity,
        policy.chosen.specificity,
        policy.chosen.n,
        policy.review_band.low,
        policy.review_band.high,
        policy.ood_threshold
    ));
}

/// The operating point is the highest threshold that reaches the target sensitivity. The review band runs from the
/// threshold below which only `1 - review_sensitivity` of the positives lie to the one above which only
/// `1 - review_specificity` of the negatives do: between them the model errs on either side often enough that a
/// person decides. It always holds the operating point.
fn policy(
    config: &Calibration,
    probabilities: &[f64],
    positive: &[bool],
    ood_scores: &[f64],
) -> Result<DecisionPolicy> {
    let curve = RocCurve::new(probabilities, positive).context("the calibrate fold holds one class")?;
    let threshold = curve.at_sensitivity(config.target_sensitivity).threshold;
    let confusion = ConfusionMatrix::at(probabilities, positive, threshold);
    let low = curve.at_sensitivity(config.review_sensitivity).threshold;
    let specific = |point: &&RocPoint| 1.0 - point.false_positive_rate >= config.review_specificity;
    let high = curve.points().iter().rev().find(specific).map_or(threshold, |point| point.threshold);
    let ood = Quantiles::of(ood_scores).context("no embeddings")?;
    Ok(DecisionPolicy {
        threshold,
        chosen: OperatingPoint {
            target_sensitivity: config.target_sensitivity,
            fold: Fold::Calibrate.name().to_owned(),
            sensitivity: confusion.sensitivity().context("no positives")?,
            specificity: confusion.specificity().context("no negatives")?,
            n: positive.len(),
        },
        review_band: ReviewBand { low: low.min(threshold), high: high.clamp(threshold, 1.0) },
        ood_threshold: ood.0[config.ood_percentile],
    })
}

/// Principal components of the embeddings by a singular value decomposition.
fn embedding_reference(embeddings: &[Vec<f32>], n_components: usize) -> Result<EmbeddingReference> {
    let n = embeddings.len();
    let length = embeddings.first().context("no embeddings")?.len();
    ensure!(
        n > n_components && length > n_components,
        "{n_components} components need more images and features"
    );
    let values: Vec<f32> = embeddings.iter().flatten().copied().collect();
    let matrix = Tensor::from_slice(&values).view([n as i64, length as i64]).to_kind(Kind::Double);
    let mean = matrix.mean_dim([0i64].as_slice(), true, Kind::Double);
    let centred = matrix - &mean;
    // tch's `linalg_svd` always names a driver, which libtorch refuses on a processor.
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_holds_the_operating_point_and_follows_its_definition() {
        let config = Calibration {
            target_sensitivity: 0.8,
            review_sensitivity: 1.0,
            review_specificity: 0.8,
            ood_percentile: 99,
            components: 2,
        };
        let probabilities = [0.1, 0.2, 0.3, 0.6, 0.9, 0.25, 0.5, 0.7, 0.8, 0.95];
        let positive = [false, false, false, false, false, true, true, true, true, true];
        let policy = policy(&config, &probabilities, &positive, &[1.0, 2.0]).unwrap();
        assert!((policy.threshold - 0.5).abs() < 1e-12);
        assert!(
            (policy.chosen.sensitivity - 0.8).abs() < 1e-12
                && (policy.chosen.specificity - 0.6).abs() < 1e-12
        );
        assert!((policy.review_band.low - 0.25).abs() < 1e-12, "{policy:?}");
        assert!((policy.review_band.high - 0.7).abs() < 1e-12, "{policy:?}");
    }

    #[test]
    fn components_explain_what_varies() {
        // Varies along the first axis by 1, along the second by a tenth, and not along the third.
        let embeddings: Vec<Vec<f32>> = (0..100u8)
            .map(|i| vec![f32::from(i % 2) * 2.0 - 1.0, f32::from(i % 4 / 2) * 0.2 - 0.1, 5.0])
            .collect();
        let reference = embedding_reference(&embeddings, 1).unwrap();
        assert!((reference.components[0][0].abs() - 1.0).abs() < 1e-5);
        assert!((reference.standard_deviations[0] - 1.005).abs() < 1e-3);
        assert!((reference.residual_rms - 0.1).abs() < 1e-5);
        assert!((reference.mean[2] - 5.0).abs() < 1e-6);
    }
}
