//! Performance with labels: figures of a cohort, weighted by the inverse inclusion probability.

use super::cbpe::FIGURES;
use super::cohort::{Cohort, Labelled, Truth, weighted};
use super::estimate::Known;
use super::{Scored, auc, gates, interval, selective};
use crate::observation::LabelledObservation;
use crate::snapshot::{CalibrationReport, DetectorReport, EstimateStatus, Figure, RealisedReport};
use cxr::analysis::scoring::calibration_error::ece_interval;
use std::collections::{BTreeMap, HashMap};

/// Sensitivity, specificity, accuracy, predictive values and AUC. `limits` are the contractual limits, by the
/// figure's name.
pub fn realised(
    cohort: &Cohort,
    labels: &[LabelledObservation],
    limits: &BTreeMap<String, f64>,
    detectors: Vec<DetectorReport>,
) -> RealisedReport {
    let images = cohort.labelled(labels);
    let known = weighted(cohort, &images, Truth::First);
    let n_positive = images.iter().filter(|image| image.first.positive).count() as u64;
    let selected = selected(cohort, &images, &known);
    let weighted_figures =
        |known: &[Known]| if selected.is_none() { figures(known) } else { BTreeMap::new() };
    let (figures, revised) =
        (weighted_figures(&known), weighted_figures(&weighted(cohort, &images, Truth::Latest)));
    let reason = selected.or_else(|| too_few(&known));
    RealisedReport {
        status: if reason.is_none() { EstimateStatus::Ok } else { EstimateStatus::Insufficient },
        reason,
        figures,
        revised,
        unweighted: self::figures(&unweighted(&images)),
        n_corrected: images.iter().filter(|image| image.first.positive != image.latest).count() as u64,
        limits: limits.clone(),
        detectors,
        n_positive,
        n_negative: images.len() as u64 - n_positive,
    }
}

/// Expected calibration error, Brier score and bias.
pub fn calibration(
    cohort: &Cohort,
    labels: &[LabelledObservation],
    detector: Option<DetectorReport>,
) -> CalibrationReport {
    let images = cohort.labelled(labels);
    let known = weighted(cohort, &images, Truth::First);
    let reason = selected(cohort, &images, &known).or_else(|| too_few_for_calibration(&known));
    let mut report = CalibrationReport {
        status: EstimateStatus::Insufficient,
        reason,
        ece: None,
        brier: None,
        bias: None,
        detector,
    };
    if report.reason.is_some() {
        return report;
    }
    let items = |of: &dyn Fn(f64, f64) -> f64| -> Vec<(u64, f64, f64)> {
        let value = |known: &Known| of(f64::from(u8::from(known.positive)), known.scored.probability);
        known.iter().map(|known| (known.scored.patient_day, value(known), known.weight)).collect()
    };
    report.brier = interval::mean(&items(&|y, p| (y - p) * (y - p)), [0.0, 1.0]);
    report.bias = interval::mean(&items(&|y, p| y - p), [-1.0, 1.0]);
    if is_equally_weighted(&known) {
        report.ece = ece(&known);
        report.status = EstimateStatus::Ok;
    } else {
        report.reason = Some(
            "labels are selected by the score, so there is no calibration error of all images; brier and bias are weighted"
                .to_owned(),
        );
    }
    report
}

/// Labels as if all had been sought alike.
fn unweighted(images: &[Labelled<'_>]) -> Vec<Known> {
    let known = |image: &Labelled<'_>| {
        let scored = Scored::new(&image.first.score, image.first.patient_day)?;
        Some(Known { scored, positive: image.first.positive, weight: 1.0 })
    };
    images.iter().filter_map(known).collect()
}

fn figures(known: &[Known]) -> BTreeMap<String, Figure> {
    let n_positive = known.iter().filter(|known| known.positive).count() as u64;
    let n_negative = known.len() as u64 - n_positive;
    let n_flagged = known.iter().filter(|known| known.scored.is_flagged()).count() as u64;
    let behind = [n_positive, n_negative, known.len() as u64, n_flagged, known.len() as u64 - n_flagged];
    let of_class = [n_positive, n_negative].map(|n| n >= gates::OF_CLASS);
    // Accuracy alone hides errors of the other class.
    let is_shown = [
        of_class[0],
        of_class[1],
        of_class == [true; 2],
        n_flagged >= gates::SHARE,
        behind[4] >= gates::SHARE,
    ];
    let found = if is_equally_weighted(known) { shares(known) } else { selective::figures(known) };
    let mut figures = BTreeMap::new();
    for i in (0..FIGURES.len()).filter(|i| is_shown[*i]) {
        if let Some(figure) = found[i] {
            figures.insert(FIGURES[i].to_owned(), Figure { n: behind[i], ..figure });
        }
    }
    if n_positive.min(n_negative) >= gates::AUC_PER_CLASS {
        figures.extend(auc::auc(known).map(|figure| ("auc".to_owned(), figure)));
    }
    figures
}

#[expect(clippy::float_cmp, reason = "equal weights come from equal inclusion probabilities")]
fn is_equally_weighted(known: &[Known]) -> bool {
    known.iter().all(|item| item.weight == known[0].weight)
}

/// Shares with exact intervals, in the order of [`FIGURES`].
fn shares(known: &[Known]) -> [Option<Figure>; FIGURES.len()] {
    let share = |among: &dyn Fn(&Known) -> bool, hit: &dyn Fn(&Known) -> bool| {
        let items: Vec<(u64, bool)> = known
            .iter()
            .filter(|item| among(item))
            .map(|item| (item.scored.patient_day, hit(item)))
            .collect();
        interval::share(&items)
    };
    let is_right = |item: &Known| item.scored.is_flagged() == item.positive;
    [
        share(&|item| item.positive, &is_right),
        share(&|item| !item.positive, &is_right),
        share(&|_| true, &is_right),
        share(&|item| item.scored.is_flagged(), &is_right),
        share(&|item| !item.scored.is_flagged(), &is_right),
    ]
}

fn ece(known: &[Known]) -> Option<Figure> {
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    let mut groups = Vec::with_capacity(known.len());
    for item in known {
        let next = numbers.len();
        groups.push(*numbers.entry(item.scored.patient_day).or_insert(next));
    }
    let probabilities: Vec<f64> = known.iter().map(|item| item.scored.probability).collect();
    let positive: Vec<bool> = known.iter().map(|item| item.positive).collect();
    let error = ece_interval(&probabilities, &positive, &groups)?;
    let [low, high] = error.ci95;
    Some(Figure { value: error.value, low, high, n: known.len() as u64 })
}

/// Why labels that were selected do not tell about the images without one: misses are among these.
fn selected(cohort: &Cohort, images: &[Labelled<'_>], known: &[Known]) -> Option<String> {
    if cohort.is_complete(images.len()) {
        return None;
    }
    let is_drawn = |item: &&Known| item.weight > 1.0 && !item.scored.is_flagged();
    let n_drawn = known.iter().filter(is_drawn).count() as u64;
    (n_drawn < gates::DRAWN_NEGATIVES).then(|| {
        format!(
            "{} of {} images have a label, and {n_drawn} of them are drawn negatives; misses can be counted from {} on",
            images.len(),
            cohort.n_images,
            gates::DRAWN_NEGATIVES
        )
    })
}

fn too_few(known: &[Known]) -> Option<String> {
    let n_positive = known.iter().filter(|known| known.positive).count() as u64;
    let n_negative = known.len() as u64 - n_positive;
    (n_positive.min(n_negative) < gates::OF_CLASS).then(|| {
        format!("{n_positive} positive and {n_negative} negative labels; sensitivity and specificity need {} each", gates::OF_CLASS)
    })
}

fn too_few_for_calibration(known: &[Known]) -> Option<String> {
    let n_positive = known.iter().filter(|known| known.positive).count();
    let is_enough = known.len() as u64 >= gates::CALIBRATION && n_positive > 0 && n_positive < known.len();
    (!is_enough).then(|| {
        format!(
            "{n_positive} positive and {} negative labels; calibration needs {} with both classes",
            known.len() - n_positive,
            gates::CALIBRATION
        )
    })
}
