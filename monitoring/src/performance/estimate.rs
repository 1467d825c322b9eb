//! Performance without labels: what the probabilities promise, where the promise holds.

use super::cbpe::{self, Expected, FIGURES};
use super::guard::Guard;
use super::recalibration::Recalibration;
use super::{Scored, gates, reweight};
use crate::quantity::Group;
use crate::snapshot::{EstimateReport, EstimateStatus, Figure};
use std::collections::{BTreeMap, HashSet};

/// An image whose class is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub scored: Scored,
    pub positive: bool,
    /// Inverse of the probability with which the label was sought.
    pub weight: f64,
}

/// What the estimate rests on.
#[derive(Debug, Clone)]
pub struct Basis<'a> {
    /// The bundle's labelled reference sample; may be empty.
    pub bundle: &'a [Known],
    /// Share of positives for which the bundle's probabilities are calibrated.
    pub base_rate: f64,
    /// Labels of the site, whose inclusion probabilities are known.
    pub local: &'a [Known],
    /// Groups whose drift is in alarm.
    pub in_alarm: &'a [Group],
    /// Test of the share out of distribution, as new: the estimate runs it over its images. `None` without a
    /// baseline, whose share it needs.
    pub guard: Option<Guard>,
}

/// Estimates performance on `images`, which are in the order of their leaves.
pub fn estimate(images: &[Scored], basis: &Basis<'_>) -> EstimateReport {
    let (recalibration, method) = recalibration(images, basis);
    let mut report = EstimateReport {
        status: EstimateStatus::Ok,
        reason: None,
        method: method.to_owned(),
        figures: BTreeMap::new(),
        worst_case: BTreeMap::new(),
        n: images.len() as u64,
    };
    let (expected, corrected) = cbpe::expected(images, &recalibration);
    if let Some(reason) = withheld(images, basis) {
        (report.status, report.reason) = (EstimateStatus::Withheld, Some(reason));
        if let Some(guard) = &basis.guard {
            report.worst_case = worst_case(images, &corrected, guard);
        }
        return report;
    }
    if report.n < gates::SHARE {
        (report.status, report.reason) = (
            EstimateStatus::Insufficient,
            Some(format!("{} images; an estimate needs {}", report.n, gates::SHARE)),
        );
        return report;
    }
    report.figures = figures(&expected, cbpe::intervals(images, &recalibration));
    // Accuracy alone hides errors that cancel.
    if !["sensitivity", "specificity"].iter().all(|name| report.figures.contains_key(*name)) {
        report.figures.clear();
        report.status = EstimateStatus::Insufficient;
        report.reason = Some(format!(
            "about {:.0} positive and {:.0} negative images; an estimate needs {} of each",
            expected.positives(),
            expected.negatives(),
            gates::OF_CLASS
        ));
    }
    report
}

/// Labels of the site where there are enough, else the bundle's reference.
fn recalibration(images: &[Scored], basis: &Basis<'_>) -> (Recalibration, &'static str) {
    let n_positive = basis.local.iter().filter(|known| known.positive).count() as u64;
    let n_of_rarer = n_positive.min(basis.local.len() as u64 - n_positive);
    let similarity = if n_of_rarer >= gates::REWEIGHTING_PER_CLASS {
        reweight::similarity(basis.local, images)
    } else {
        None
    };
    let local = (n_of_rarer >= gates::RECALIBRATION_PER_CLASS)
        .then(|| Recalibration::of_site(basis.local, similarity.as_deref().unwrap_or(&[]), basis.base_rate));
    match (local.flatten(), similarity) {
        (Some(recalibration), Some(_)) => (recalibration, "cbpe_reweighted"),
        (Some(recalibration), None) => (recalibration, "cbpe_recalibrated"),
        (None, _) => (Recalibration::of_bundle(basis.bundle, basis.base_rate), "cbpe"),
    }
}

/// Why the estimate would not hold.
fn withheld(images: &[Scored], basis: &Basis<'_>) -> Option<String> {
    let matters = |group: &&Group| matches!(group, Group::Score | Group::Ood | Group::Embedding);
    let drifted: Vec<&str> = basis.in_alarm.iter().filter(matters).map(|group| group.name()).collect();
    if !drifted.is_empty() {
        return Some(format!(
            "drift of {} is in alarm, so the model may err in ways that its probabilities do not show",
            drifted.join(", ")
        ));
    }
    let mut guard = basis.guard.clone()?;
    let mut seen = HashSet::new();
    for image in images.iter().filter(|image| seen.insert(image.patient_day)) {
        guard.observe(image.ood_score);
    }
    guard.is_in_alarm().then(|| {
        let n_out = images.iter().filter(|image| guard.is_out(image.ood_score)).count();
        format!(
            "{n_out} of {} images are out of distribution, more than {:.1} %, three times the baseline's share with its error",
            images.len(),
            100.0 * guard.limit()
        )
    })
}

fn figures(expected: &Expected, intervals: [[f64; 2]; FIGURES.len()]) -> BTreeMap<String, Figure> {
    let flagged = expected.true_positive + expected.false_positive;
    let of_class = gates::OF_CLASS as f64;
    let n = expected.positives() + expected.negatives();
    let behind = [
        (expected.positives(), of_class),
        (expected.negatives(), of_class),
        (n, gates::SHARE as f64),
        (flagged, gates::SHARE as f64),
        (n - flagged, gates::SHARE as f64),
    ];
    let values = expected.figures();
    (0..FIGURES.len())
        .filter(|i| behind[*i].0 >= behind[*i].1)
        .filter_map(|i| {
            let figure = cbpe::figure(values[i], intervals[i], behind[i].0.round() as u64)?;
            Some((FIGURES[i].to_owned(), figure))
        })
        .collect()
}

/// Performance if every image out of distribution was answered wrongly, and the others as expected.
fn worst_case(images: &[Scored], corrected: &[f64], guard: &Guard) -> BTreeMap<String, f64> {
    let mut worst = Expected::default();
    for (image, p) in images.iter().zip(corrected) {
        let p = match (guard.is_out(image.ood_score), image.is_flagged()) {
            (false, _) => *p,
            (true, is_flagged) => f64::from(u8::from(!is_flagged)),
        };
        worst.add(image.is_flagged(), p, 1.0 - p);
    }
    let named = FIGURES.iter().zip(worst.figures()).take(3);
    named.filter(|(_, value)| value.is_finite()).map(|(name, value)| ((*name).to_owned(), value)).collect()
}
