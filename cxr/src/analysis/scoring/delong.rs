//! The variance of the area under the ROC curve by DeLong, DeLong and Clarke-Pearson (1988), from mid-ranks
//! as in Sun and Xu (2014). It needs no resampling, but treats images as independent; `bootstrap` does not.

use super::judgeable;

/// An area under the ROC curve with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeLong {
    /// Area under the ROC curve.
    pub auc: f64,
    /// Square root of the variance.
    pub standard_error: f64,
}

impl DeLong {
    /// `None` for invalid input (see [`super`]) or fewer than two images of a class.
    pub fn new(scores: &[f64], positive: &[bool]) -> Option<Self> {
        if !judgeable(scores, positive) {
            return None;
        }
        let of = |class: bool| -> Vec<f64> {
            scores.iter().zip(positive).filter(|(_, y)| **y == class).map(|(s, _)| *s).collect()
        };
        let (positives, negatives) = (of(true), of(false));
        if positives.len() < 2 || negatives.len() < 2 {
            return None;
        }
        // Structural components: for each image the share of the other class that it outscores, ties counting
        // half.
        let beats: Vec<f64> = shares(&positives, &negatives);
        let beaten: Vec<f64> = shares(&negatives, &positives).into_iter().map(|share| 1.0 - share).collect();
        let auc = beats.iter().sum::<f64>() / beats.len() as f64;
        let variance = |components: &[f64]| {
            let n = components.len() as f64;
            components.iter().map(|v| (v - auc).powi(2)).sum::<f64>() / (n - 1.0) / n
        };
        Some(Self { auc, standard_error: (variance(&beats) + variance(&beaten)).sqrt() })
    }

    /// 95 % interval on the logit scale, which keeps it inside 0 and 1; the point itself if the variance
    /// vanishes.
    pub fn interval95(&self) -> [f64; 2] {
        const Z: f64 = 1.959_963_984_540_054;
        let slope = self.auc * (1.0 - self.auc);
        if slope <= 0.0 {
            return [self.auc; 2];
        }
        let (centre, half) = ((self.auc / (1.0 - self.auc)).ln(), Z * self.standard_error / slope);
        [centre - half, centre + half].map(|z| 1.0 / (1.0 + (-z).exp()))
    }
}

/// For each of `ours` the share of `theirs` below it, ties counting half.
fn shares(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    let mut sorted = theirs.to_vec();
    sorted.sort_by(f64::total_cmp);
    ours.iter()
        .map(|score| {
            let below = sorted.partition_point(|other| other < score);
            let up_to = sorted.partition_point(|other| other <= score);
            (below + up_to) as f64 / 2.0 / theirs.len() as f64
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;
    use crate::analysis::scoring::roc::auc;

    #[test]
    fn the_variance_is_that_of_the_structural_components() {
        // Positives 0.8, 0.6, 0.6, 0.3 against negatives 0.7, 0.6, 0.2: V10 = 1, 1/2, 1/2, 1/3 and V01 = 1/4,
        // 1/2, 1.
        let scores = [0.8, 0.6, 0.6, 0.3, 0.7, 0.6, 0.2];
        let positive = [true, true, true, true, false, false, false];
        let found = DeLong::new(&scores, &positive).unwrap();
        let auc_by_hand: f64 = (1.0 + 0.5 + 0.5 + 1.0 / 3.0) / 4.0;
        assert!((found.auc - auc_by_hand).abs() < 1e-12);
        assert!((found.auc - auc(&scores, &positive).unwrap()).abs() < 1e-12);
        let square = |values: &[f64]| values.iter().map(|v| (v - auc_by_hand).powi(2)).sum::<f64>();
        let expected =
            square(&[1.0, 0.5, 0.5, 1.0 / 3.0]) / 3.0 / 4.0 + square(&[0.25, 0.5, 1.0]) / 2.0 / 3.0;
        assert!((found.standard_error - expected.sqrt()).abs() < 1e-12, "{found:?} {}", expected.sqrt());
        let [low, high] = found.interval95();
        assert!(0.0 < low && low < found.auc && found.auc < high && high < 1.0);
    }

    #[test]
    fn perfect_separation_has_no_width_and_one_class_no_value() {
        let found = DeLong::new(&[0.9, 0.8, 0.1, 0.2], &[true, true, false, false]).unwrap();
        assert_eq!(found.interval95(), [1.0, 1.0]);
        assert!(DeLong::new(&[0.9, 0.8], &[true, true]).is_none());
        assert!(DeLong::new(&[0.9, f64::NAN, 0.1, 0.2], &[true, true, false, false]).is_none());
    }
}
