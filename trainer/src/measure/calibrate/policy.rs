//! The operating point and the review band, and a comparison of rules for the operating point.

use crate::config::Calibration;
use crate::data::folds::Fold;
use crate::measure::sample::{Sample, pick};
use anyhow::{Context, Result};
use cxr::DecisionPolicy;
use cxr::analysis::calibration::grouped_parts;
use cxr::analysis::scoring::bootstrap::{Resampled, resampled};
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::roc::{RocCurve, RocPoint};
use cxr::bundle::Measured;
use cxr::decide::{OperatingPoint, ReviewBand};
use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The highest threshold that reaches the target sensitivity: one order statistic of the positives.
    Exact,
    /// The median of the exact rule over resamples of the patients; less sensitive to gaps between scores.
    Median,
    /// Youden's index: the largest sum of sensitivity and specificity.
    Youden,
}

impl Rule {
    const ALL: [Self; 3] = [Self::Exact, Self::Median, Self::Youden];
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEvaluation {
    pub rule: Rule,
    /// A calibrated probability, chosen on the whole calibrate fold.
    pub threshold: f64,
    pub threshold_ci95: [f64; 2],
    /// On the calibrate fold, each part at the threshold that the patients of the other parts chose.
    pub cross_validated: SensitivitySpecificity,
    pub select: SensitivitySpecificity,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensitivitySpecificity {
    pub sensitivity: Measured,
    pub specificity: Measured,
}

/// The policy with the operating point of `rule`. Below the review band lie `1 - review_sensitivity` of the
/// positives, above it `1 - review_specificity` of the negatives. The band contains the operating point.
pub fn policy(
    config: &Calibration,
    fold: &str,
    sample: &Sample,
    (rule, seed): (Rule, u64),
    ood_threshold: f64,
) -> Result<DecisionPolicy> {
    let (probabilities, positive) = (sample.probabilities, sample.positive);
    let curve = RocCurve::new(probabilities, positive)
        .with_context(|| format!("the {fold} images are all of one class"))?;
    let target = config.target_sensitivity;
    let threshold = threshold(rule, sample, target, seed).context("no threshold")?.median;
    let confusion = ConfusionMatrix::at(probabilities, positive, threshold);
    let low = curve.at_sensitivity(config.review_sensitivity).threshold;
    let specific = |point: &&RocPoint| 1.0 - point.false_positive_rate >= config.review_specificity;
    let high = curve.points().iter().rev().find(specific).map_or(threshold, |point| point.threshold);
    Ok(DecisionPolicy {
        threshold,
        chosen: OperatingPoint {
            target_sensitivity: target,
            fold: fold.to_owned(),
            sensitivity: confusion.sensitivity().context("no positives")?,
            specificity: confusion.specificity().context("no negatives")?,
            n: positive.len(),
        },
        review_band: ReviewBand { low: low.min(threshold), high: high.clamp(threshold, 1.0) },
        ood_threshold,
    })
}

/// The rule's threshold, as `median`, with its interval over resamples of the patients.
fn threshold(rule: Rule, sample: &Sample, target: f64, seed: u64) -> Option<Resampled> {
    let of = |probabilities: &[f64], positive: &[bool]| -> Option<f64> {
        let curve = RocCurve::new(probabilities, positive)?;
        let point = if rule == Rule::Youden { curve.youden() } else { curve.at_sensitivity(target) };
        Some(point.threshold)
    };
    let found = resampled(sample.patients, RESAMPLES, seed, |images| {
        let (p, y) = pick(images, sample.probabilities, sample.positive);
        of(&p, &y)
    });
    let exact = of(sample.probabilities, sample.positive)?;
    // Too few patients to resample.
    let found = found.unwrap_or(Resampled { median: exact, ci95: [exact; 2] });
    Some(if rule == Rule::Median { found } else { Resampled { median: exact, ..found } })
}

pub fn evaluate_rules(
    config: &Calibration,
    seed: u64,
    calibrate: &Sample,
    select: &Sample,
) -> Result<Vec<RuleEvaluation>> {
    let parts = grouped_parts(calibrate.patients, calibrate.positive, config.cross_validation_parts, seed);
    let evaluate = |rule: Rule| -> Result<RuleEvaluation> {
        let chosen = threshold(rule, calibrate, config.target_sensitivity, seed)
            .context("the calibrate fold is all of one class")?;
        // How far each image's score lies above the threshold that the other patients chose.
        let mut margins = vec![0.0; parts.len()];
        for part in 0..config.cross_validation_parts {
            let others: Vec<usize> = (0..parts.len()).filter(|i| parts[*i] != part).collect();
            let chosen = calibrate
                .subset(&others, |others| threshold(rule, others, config.target_sensitivity, seed))
                .context("if one part is left out, the calibrate fold is all of one class")?;
            for i in (0..parts.len()).filter(|i| parts[*i] == part) {
                margins[i] = calibrate.probabilities[i] - chosen.median;
            }
        }
        Ok(RuleEvaluation {
            rule,
            threshold: chosen.median,
            threshold_ci95: chosen.ci95,
            cross_validated: both(&Sample { probabilities: &margins, ..*calibrate }, 0.0)?,
            select: both(select, chosen.median)?,
        })
    };
    Rule::ALL.into_iter().map(evaluate).collect()
}

fn both(sample: &Sample, threshold: f64) -> Result<SensitivitySpecificity> {
    Ok(SensitivitySpecificity {
        sensitivity: sample.sensitivity(threshold).context("the fold is all of one class")?,
        specificity: sample.specificity(threshold).context("the fold is all of one class")?,
    })
}

pub(crate) const FOLD: Fold = Fold::Calibrate;

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::embedding::OodScore;

    #[test]
    fn the_review_band_contains_the_operating_point_and_follows_its_definition() {
        let config = Calibration {
            target_sensitivity: 0.8,
            review_sensitivity: 1.0,
            review_specificity: 0.8,
            ood_percentile: 99,
            components: 2,
            ood_score: OodScore::Residual,
            ood_images: None,
            conformal_alpha: Vec::new(),
            cross_validation_parts: 2,
            recalibration_min_per_class: 1,
            min_per_class: 1,
        };
        let probabilities = [0.1, 0.2, 0.3, 0.6, 0.9, 0.25, 0.5, 0.7, 0.8, 0.95];
        let positive = [false, false, false, false, false, true, true, true, true, true];
        let patients: Vec<usize> = (0..10).collect();
        let sample = Sample {
            probabilities: &probabilities,
            positive: &positive,
            patients: &patients,
            resamples: 100,
            seed: 1,
        };
        let policy = policy(&config, "calibrate", &sample, (Rule::Exact, 1), 2.0).unwrap();
        assert!((policy.threshold - 0.5).abs() < 1e-12);
        assert!(
            (policy.chosen.sensitivity - 0.8).abs() < 1e-12
                && (policy.chosen.specificity - 0.6).abs() < 1e-12
        );
        assert!((policy.review_band.low - 0.25).abs() < 1e-12, "{policy:?}");
        assert!((policy.review_band.high - 0.7).abs() < 1e-12, "{policy:?}");
        let rules = evaluate_rules(&config, 1, &sample, &sample).unwrap();
        assert_eq!(rules.len(), 3);
        assert!((rules[0].threshold - 0.5).abs() < 1e-12, "the exact rule");
        assert!((rules[2].threshold - 0.7).abs() < 1e-12, "J is 0.4 at 0.5 and at 0.7: the higher one");
    }
}
