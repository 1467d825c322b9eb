//! The operating point and the review band, and how firm they are: the rule as it is defined, a smoothed one beside it, both
//! judged on patients that did not choose the threshold.

use crate::config::Calibration;
use crate::data::folds::Fold;
use crate::measure::sample::Sample;
use anyhow::{Context, Result};
use cxr::DecisionPolicy;
use cxr::analysis::calibration::grouped_parts;
use cxr::analysis::scoring::bootstrap::{Resampled, resampled};
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::roc::{RocCurve, RocPoint};
use cxr::bundle::Measured;
use cxr::decide::{OperatingPoint, ReviewBand};
use serde::{Deserialize, Serialize};

/// Resamples behind the median threshold.
const RESAMPLES: usize = 500;

/// How a threshold follows from scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The highest threshold that reaches the target sensitivity: one order statistic of the positives.
    Exact,
    /// The median of the exact rule over resamples of the patients: a smoothed quantile of the positives, which a gap
    /// between two scores does not move as far.
    Median,
    /// Youden's index: the largest sum of sensitivity and specificity, whatever the sensitivity.
    Youden,
}

impl Rule {
    const ALL: [Self; 3] = [Self::Exact, Self::Median, Self::Youden];
}

/// One rule on images that did not choose its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleJudgement {
    /// Which rule.
    pub rule: Rule,
    /// Its threshold from the whole calibrate fold, a calibrated probability.
    pub threshold: f64,
    /// 2.5th and 97.5th percentile of the rule's threshold over resamples of the patients.
    pub threshold_ci95: [f64; 2],
    /// By cross-validation over the patients of the calibrate fold: each part at the threshold of the others.
    pub cross_validated: SensitivitySpecificity,
    /// On the select fold.
    pub select: SensitivitySpecificity,
}

/// Both, with their intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensitivitySpecificity {
    /// True positives over positives.
    pub sensitivity: Measured,
    /// True negatives over negatives.
    pub specificity: Measured,
}

/// The policy with the operating point of `rule`. The review band runs from the threshold below which only
/// `1 - review_sensitivity` of the positives lie to the one above which only `1 - review_specificity` of the negatives do:
/// between them the model errs on either side often enough that a person decides. It always holds the operating point.
///
/// # Errors
/// When one class is missing.
pub fn policy(
    config: &Calibration,
    fold: &str,
    sample: &Sample,
    (rule, seed): (Rule, u64),
    ood_threshold: f64,
) -> Result<DecisionPolicy> {
    let (probabilities, positive) = (sample.probabilities, sample.positive);
    let curve = RocCurve::new(probabilities, positive)
        .with_context(|| format!("the {fold} images hold one class"))?;
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

/// The threshold as the median, with its interval over resamples of the patients.
fn threshold(rule: Rule, sample: &Sample, target: f64, seed: u64) -> Option<Resampled> {
    let of = |probabilities: &[f64], positive: &[bool]| -> Option<f64> {
        let curve = RocCurve::new(probabilities, positive)?;
        let point = if rule == Rule::Youden { curve.youden() } else { curve.at_sensitivity(target) };
        Some(point.threshold)
    };
    let found = resampled(sample.patients, RESAMPLES, seed, |images| {
        let (p, y): (Vec<f64>, Vec<bool>) =
            images.iter().map(|i| (sample.probabilities[*i], sample.positive[*i])).unzip();
        of(&p, &y)
    });
    let exact = of(sample.probabilities, sample.positive)?;
    // Too few patients to resample leave the rule itself.
    let found = found.unwrap_or(Resampled { median: exact, ci95: [exact; 2] });
    Some(if rule == Rule::Median { found } else { Resampled { median: exact, ..found } })
}

/// Judges every rule on the calibrate fold by cross-validation, and on select.
///
/// # Errors
/// When a class is missing in one of the parts.
pub fn judge_rules(
    config: &Calibration,
    seed: u64,
    calibrate: &Sample,
    select: &Sample,
) -> Result<Vec<RuleJudgement>> {
    let parts = grouped_parts(calibrate.patients, calibrate.positive, config.cross_validation_parts, seed);
    let judge = |rule: Rule| -> Result<RuleJudgement> {
        let chosen = threshold(rule, calibrate, config.target_sensitivity, seed)
            .context("the calibrate fold holds one class")?;
        // What each image scores above the threshold that the other patients chose.
        let mut margins = vec![0.0; parts.len()];
        for part in 0..config.cross_validation_parts {
            let others: Vec<usize> = (0..parts.len()).filter(|i| parts[*i] != part).collect();
            let others = calibrate.subset(&others);
            let chosen = threshold(rule, &others.as_sample(calibrate), config.target_sensitivity, seed)
                .context("a part of the calibrate fold leaves one class")?;
            for i in (0..parts.len()).filter(|i| parts[*i] == part) {
                margins[i] = calibrate.probabilities[i] - chosen.median;
            }
        }
        Ok(RuleJudgement {
            rule,
            threshold: chosen.median,
            threshold_ci95: chosen.ci95,
            cross_validated: both(&Sample { probabilities: &margins, ..*calibrate }, 0.0)?,
            select: both(select, chosen.median)?,
        })
    };
    Rule::ALL.into_iter().map(judge).collect()
}

fn both(sample: &Sample, threshold: f64) -> Result<SensitivitySpecificity> {
    let at = |p: &[f64], y: &[bool]| ConfusionMatrix::at(p, y, threshold);
    let n_positive = sample.positive.iter().filter(|y| **y).count();
    let n_negative = sample.positive.len() - n_positive;
    let measured = |n, figure: &dyn Fn(&[f64], &[bool]) -> Option<f64>| {
        sample.measured(n, figure).context("a fold with one class")
    };
    Ok(SensitivitySpecificity {
        sensitivity: measured(n_positive, &|p, y| at(p, y).sensitivity())?,
        specificity: measured(n_negative, &|p, y| at(p, y).specificity())?,
    })
}

/// The fold that chooses.
pub(crate) const FOLD: Fold = Fold::Calibrate;

#[cfg(test)]
mod tests {
    use super::*;
    use cxr::embedding::OodScore;

    #[test]
    fn the_band_holds_the_operating_point_and_follows_its_definition() {
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
        let judged = judge_rules(&config, 1, &sample, &sample).unwrap();
        assert_eq!(judged.len(), 3);
        assert!((judged[0].threshold - 0.5).abs() < 1e-12, "the exact rule is the definition");
        assert!((judged[2].threshold - 0.7).abs() < 1e-12, "J is 0.4 at 0.5 and at 0.7: the strictest");
    }
}
