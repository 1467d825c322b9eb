//! The figures of an evaluation that a bundle does not carry.

use super::subgroups::Subgroup;
use crate::measure::calibrate::Calibrated;
use crate::measure::sample::{CALIBRATION_BINS, Sample};
use crate::train::score::Scores;
use anyhow::Result;
use cxr::analysis::conformal::{ConformalSets, PredictionSet};
use cxr::analysis::prior_shift::{correct, estimate_prior};
use cxr::analysis::scoring::confusion::ConfusionMatrix;
use cxr::analysis::scoring::delong::DeLong;
use cxr::analysis::scoring::precision_recall::average_precision;
use cxr::analysis::scoring::proportion::Proportion;
use cxr::analysis::scoring::reliability::{bins_equal_width, brier, log_loss};
use cxr::analysis::scoring::roc::RocCurve;
use cxr::bundle::Measured;
use cxr::calibrate::sigmoid;
use cxr::reference::CalibrationBin;
use serde::{Deserialize, Serialize};

/// A figure is `None` if it is undefined on these images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// AUC with DeLong's interval, which assumes independent images.
    pub auc_delong: Option<Measured>,
    /// Area under the precision-recall curve, without interpolation.
    pub average_precision: Option<Measured>,
    pub balanced_accuracy: Option<Measured>,
    pub mcc: Option<Measured>,
    pub normal: ClassFigures,
    pub pneumonia: ClassFigures,
    /// Best threshold on these images, for comparison only.
    pub youden: Option<YoudenPoint>,
    pub calibration: CalibrationDetails,
    pub conformal: Vec<Coverage>,
    /// Images above the out-of-distribution threshold, which the service refers.
    pub out_of_distribution: Proportion,
    /// The other images. Absent in older files.
    #[serde(default)]
    pub answered: Option<Answered>,
    /// Images in the review band or out of distribution.
    pub review: Proportion,
    /// Images that a radiologist reads: positive decisions and those in `review`.
    pub read: Proportion,
    pub subgroups: Vec<Subgroup>,
}

/// Figures at the operating point without the referred images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    pub n: usize,
    pub sensitivity: Option<Measured>,
    pub specificity: Option<Measured>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFigures {
    pub precision: Option<Measured>,
    pub recall: Option<Measured>,
    pub f1: Option<Measured>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YoudenPoint {
    pub threshold: f64,
    pub sensitivity: f64,
    pub specificity: f64,
    /// Youden's index at the bundle's operating point.
    pub j_at_operating_point: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationDetails {
    /// Expected calibration error (ECE) of the uncalibrated probability.
    pub ece_before: Option<Measured>,
    pub ece_after: Option<Measured>,
    /// After a further prior shift correction. The interval takes the estimated prior as known.
    pub ece_prior_shift: Option<Measured>,
    pub brier_before: Option<Measured>,
    pub log_loss_before: Option<Measured>,
    pub log_loss_after: Option<Measured>,
    /// Share of positives in the calibrate fold.
    pub trained_prior: f64,
    /// Share estimated from these images without their labels (Saerens et al. 2002).
    pub estimated_prior: Option<f64>,
    pub true_prior: f64,
    pub bins_before: Vec<CalibrationBin>,
    pub bins_after: Vec<CalibrationBin>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Nominal error rate of each class.
    pub alpha: f64,
    /// Share of the class whose set contains its label.
    pub normal: Option<Measured>,
    pub pneumonia: Option<Measured>,
    pub empty: Proportion,
    pub single: Proportion,
    pub both: Proportion,
}

pub fn measure(
    calibrated: &Calibrated,
    sample: &Sample,
    scores: &Scores,
    subgroups: Vec<Subgroup>,
) -> Result<Details> {
    let policy = &calibrated.policy;
    let at = |p: &[f64], y: &[bool]| ConfusionMatrix::at(p, y, policy.threshold);
    let (n, n_positive) = (sample.n(), sample.n_positive());
    let confusion = at(sample.probabilities, sample.positive);
    let class = |n_class: usize, n_called: u64, of: &dyn Fn(ConfusionMatrix) -> ConfusionMatrix| {
        let figure = |n: usize, figure: fn(&ConfusionMatrix) -> Option<f64>| {
            sample.measured(n, &|p, y| figure(&of(at(p, y))))
        };
        ClassFigures {
            precision: figure(n_called as usize, ConfusionMatrix::precision),
            recall: figure(n_class, ConfusionMatrix::sensitivity),
            f1: figure(n, ConfusionMatrix::f1),
        }
    };
    let n_called = confusion.true_positives + confusion.false_positives;
    let delong = DeLong::new(sample.probabilities, sample.positive);
    let youden = RocCurve::new(sample.probabilities, sample.positive).and_then(|curve| {
        let point = curve.youden();
        Some(YoudenPoint {
            threshold: point.threshold,
            sensitivity: point.sensitivity,
            specificity: 1.0 - point.false_positive_rate,
            j_at_operating_point: 2.0 * confusion.balanced_accuracy()? - 1.0,
        })
    });
    let ood_scores = calibrated.ood_scores(&scores.embeddings)?;
    let is_ood: Vec<bool> = ood_scores.iter().map(|score| *score > policy.ood_threshold).collect();
    let band = policy.review_band;
    let review: Vec<bool> = sample
        .probabilities
        .iter()
        .zip(&is_ood)
        .map(|(p, is_ood)| *is_ood || (band.low..band.high).contains(p))
        .collect();
    let read = sample.probabilities.iter().zip(&review).map(|(p, review)| *review || *p >= policy.threshold);
    Ok(Details {
        auc_delong: delong.map(|found| Measured { value: found.auc, ci95: found.interval95(), n }),
        average_precision: sample.measured(n, &average_precision),
        balanced_accuracy: sample.measured(n, &|p, y| at(p, y).balanced_accuracy()),
        mcc: sample.measured(n, &|p, y| at(p, y).mcc()),
        normal: class(n - n_positive, n as u64 - n_called, &|m| m.of_the_negative_class()),
        pneumonia: class(n_positive, n_called, &|m| m),
        youden,
        calibration: calibration(calibrated, sample, &scores.logits),
        conformal: calibrated.conformal.iter().map(|sets| coverage(sets, sample)).collect(),
        read: Proportion::of(read),
        review: Proportion::of(review),
        answered: Some(answered(sample, &is_ood, policy.threshold)),
        out_of_distribution: Proportion::of(is_ood),
        subgroups,
    })
}

fn answered(sample: &Sample, is_ood: &[bool], threshold: f64) -> Answered {
    let images: Vec<usize> = (0..sample.n()).filter(|image| !is_ood[*image]).collect();
    sample.subset(&images, |answered| Answered {
        n: answered.n(),
        sensitivity: answered.sensitivity(threshold),
        specificity: answered.specificity(threshold),
    })
}

fn calibration(calibrated: &Calibrated, sample: &Sample, logits: &[f64]) -> CalibrationDetails {
    let n = sample.n();
    let before: Vec<f64> = logits.iter().map(|logit| sigmoid(*logit)).collect();
    let before = Sample { probabilities: &before, ..*sample };
    let trained = calibrated.reference.base_rate;
    let bins = |p: &[f64], y: &[bool]| bins_equal_width(p, y, CALIBRATION_BINS);
    let estimated_prior = estimate_prior(sample.probabilities, trained);
    let shifted = estimated_prior.and_then(|prior| {
        let shifted: Vec<f64> = sample.probabilities.iter().map(|p| correct(*p, trained, prior)).collect();
        Sample { probabilities: &shifted, ..*sample }.ece()
    });
    CalibrationDetails {
        ece_before: before.ece(),
        ece_after: sample.ece(),
        ece_prior_shift: shifted,
        brier_before: before.measured(n, &|p, y| Some(brier(p, y))),
        log_loss_before: before.measured(n, &|p, y| Some(log_loss(p, y))),
        log_loss_after: sample.measured(n, &|p, y| Some(log_loss(p, y))),
        trained_prior: trained,
        estimated_prior,
        true_prior: sample.n_positive() as f64 / n as f64,
        bins_before: bins(before.probabilities, sample.positive),
        bins_after: bins(sample.probabilities, sample.positive),
    }
}

fn coverage(sets: &ConformalSets, sample: &Sample) -> Coverage {
    let of_class = |class: bool| {
        let n = sample.positive.iter().filter(|y| **y == class).count();
        sample.measured(n, &|p, y| {
            let members = || p.iter().zip(y).filter(|(_, y)| **y == class);
            let covered = members().filter(|(p, y)| sets.covers(**p, **y)).count();
            (members().count() > 0).then(|| covered as f64 / members().count() as f64)
        })
    };
    let share = |wanted: &[PredictionSet]| {
        Proportion::of(sample.probabilities.iter().map(|p| wanted.contains(&sets.set(*p))))
    };
    Coverage {
        alpha: sets.alpha,
        normal: of_class(false),
        pneumonia: of_class(true),
        empty: share(&[PredictionSet::Empty]),
        single: share(&[PredictionSet::Normal, PredictionSet::Pneumonia]),
        both: share(&[PredictionSet::Both]),
    }
}

impl Details {
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |name: &str, found: Option<Measured>| match found {
            Some(Measured { value, ci95: [low, high], n }) => {
                format!("{name:<28} {value:.4}  [{low:.4}, {high:.4}]  n {n}")
            }
            None => format!("{name:<28} undefined on these images"),
        };
        let calibration = &self.calibration;
        let mut lines = vec![
            line("AUC (DeLong)", self.auc_delong),
            line("average precision", self.average_precision),
            line("balanced accuracy", self.balanced_accuracy),
            line("MCC", self.mcc),
            line("ECE before calibration", calibration.ece_before),
            line("ECE after", calibration.ece_after),
            line("ECE after prior correction", calibration.ece_prior_shift),
            line("log loss", calibration.log_loss_after),
        ];
        for coverage in &self.conformal {
            lines.push(line(&format!("coverage negatives, a={}", coverage.alpha), coverage.normal));
            lines.push(line(&format!("coverage positives, a={}", coverage.alpha), coverage.pneumonia));
        }
        let share = self.out_of_distribution;
        lines.push(format!("{:<28} {:.4}  ({} of {})", "referred", share.value, share.k, share.n));
        if let Some(answered) = &self.answered {
            lines.push(line("sensitivity if not referred", answered.sensitivity));
            lines.push(line("specificity if not referred", answered.specificity));
        }
        lines
    }
}
