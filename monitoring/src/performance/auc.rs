//! Area under the ROC curve with weights and dependent images: DeLong's structural components, summed by
//! patient-day.

use super::estimate::Known;
use super::interval::{Z, clopper_pearson, variance_of_sum};
use crate::snapshot::Figure;

/// `None` unless both classes are present.
pub(super) fn auc(known: &[Known]) -> Option<Figure> {
    let of =
        |positive: bool| -> Vec<&Known> { known.iter().filter(|known| known.positive == positive).collect() };
    let (positives, negatives) = (of(true), of(false));
    let weight = |set: &[&Known]| set.iter().map(|known| known.weight).sum::<f64>();
    let (w_positive, w_negative) = (weight(&positives), weight(&negatives));
    if !(w_positive > 0.0 && w_negative > 0.0) {
        return None;
    }
    let beats = shares_below(&positives, &negatives);
    let beaten = shares_below(&negatives, &positives);
    let value =
        positives.iter().zip(&beats).map(|(known, share)| known.weight * share).sum::<f64>() / w_positive;
    let of_positives = positives
        .iter()
        .zip(&beats)
        .map(|(known, share)| (known.scored.patient_day, known.weight * (share - value) / w_positive));
    let of_negatives = negatives
        .iter()
        .zip(&beaten)
        .map(|(known, share)| (known.scored.patient_day, known.weight * (1.0 - share - value) / w_negative));
    let (variance, _) = variance_of_sum(of_positives.chain(of_negatives));
    let slope = value * (1.0 - value);
    // Perfectly separated or reversed: as sure as the smaller class lets one be.
    let smaller = positives.len().min(negatives.len()) as f64;
    let [low, high] = if slope <= 0.0 || variance <= 0.0 {
        clopper_pearson(value * smaller, smaller)
    } else {
        let (centre, half) = ((value / (1.0 - value)).ln(), Z * variance.sqrt() / slope);
        [centre - half, centre + half].map(|z| 1.0 / (1.0 + (-z).exp()))
    };
    Some(Figure { value, low: low.min(value), high: high.max(value), n: known.len() as u64 })
}

/// For each of `ours` the weighted share of `theirs` below it, ties counting half.
fn shares_below(ours: &[&Known], theirs: &[&Known]) -> Vec<f64> {
    let mut sorted: Vec<(f64, f64)> =
        theirs.iter().map(|known| (known.scored.probability, known.weight)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = vec![0.0];
    for (i, (_, weight)) in sorted.iter().enumerate() {
        below.push(below[i] + weight);
    }
    let total = below[sorted.len()];
    ours.iter()
        .map(|known| {
            let p = known.scored.probability;
            let [first, last] = [
                sorted.partition_point(|(other, _)| *other < p),
                sorted.partition_point(|(other, _)| *other <= p),
            ];
            f64::midpoint(below[first], below[last]) / total
        })
        .collect()
}
