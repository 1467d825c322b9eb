//! Split-conformal prediction sets per class (Mondrian; Vovk, Gammerman and Shafer 2005), so that each class
//! keeps its own coverage. The guarantee holds only for images exchangeable with those of the calibrate fold.

use serde::{Deserialize, Serialize};

/// Thresholds of the prediction sets at one error rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConformalSets {
    /// Error rate: at most this share of each class is outside its sets.
    pub alpha: f64,
    /// Largest probability of pneumonia at which `normal` stays in the set.
    pub normal_up_to: f64,
    /// Smallest probability of pneumonia at which `pneumonia` stays in the set.
    pub pneumonia_from: f64,
}

/// The classes that a prediction does not exclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PredictionSet {
    /// Neither class.
    Empty,
    /// Normal only.
    Normal,
    /// Pneumonia only.
    Pneumonia,
    /// Both.
    Both,
}

impl ConformalSets {
    /// Fits on probabilities of images that took no part in training. The nonconformity of a class is one
    /// minus its probability. Its quantile is the `ceil((n + 1)(1 - alpha))`-th smallest, the finite-sample
    /// rank (Angelopoulos and Bates 2023). A class with too few images for that rank is never excluded.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn fit(probabilities: &[f64], positive: &[bool], alpha: f64) -> Self {
        assert_eq!(probabilities.len(), positive.len(), "one label a probability");
        // The rank-th member of a class counted from its confident end; `limit` if there are too few.
        let reach = |class: bool, limit: f64| {
            let of_class = probabilities.iter().zip(positive).filter(|(_, y)| **y == class);
            let mut members: Vec<f64> = of_class.map(|(p, _)| *p).collect();
            members.sort_by(f64::total_cmp);
            if class {
                members.reverse();
            }
            let rank = ((members.len() as f64 + 1.0) * (1.0 - alpha) - 1e-9).ceil() as usize;
            members.get(rank.max(1) - 1).copied().unwrap_or(limit)
        };
        Self { alpha, normal_up_to: reach(false, 1.0), pneumonia_from: reach(true, 0.0) }
    }

    /// The classes that `probability` does not exclude.
    pub fn set(&self, probability: f64) -> PredictionSet {
        match (probability <= self.normal_up_to, probability >= self.pneumonia_from) {
            (false, false) => PredictionSet::Empty,
            (true, false) => PredictionSet::Normal,
            (false, true) => PredictionSet::Pneumonia,
            (true, true) => PredictionSet::Both,
        }
    }

    /// Whether the set contains the true label.
    pub fn covers(&self, probability: f64, positive: bool) -> bool {
        match self.set(probability) {
            PredictionSet::Both => true,
            PredictionSet::Empty => false,
            PredictionSet::Normal => !positive,
            PredictionSet::Pneumonia => positive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn both_classes_keep_their_coverage_on_new_draws() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        let mut draw = |n: usize| -> (Vec<f64>, Vec<bool>) {
            (0..n)
                .map(|i| {
                    let y = i % 4 == 0;
                    let u: f64 = rng.random();
                    (if y { u.powf(0.3) } else { u.powf(2.0) }, y)
                })
                .unzip()
        };
        let alpha = 0.1;
        let (mut covered, mut n) = ([0.0; 2], [0.0; 2]);
        for _ in 0..50 {
            let (p, y) = draw(400);
            let sets = ConformalSets::fit(&p, &y, alpha);
            let (p, y) = draw(400);
            for (p, y) in p.iter().zip(&y) {
                n[usize::from(*y)] += 1.0;
                covered[usize::from(*y)] += f64::from(u8::from(sets.covers(*p, *y)));
            }
        }
        for class in 0..2 {
            let coverage: f64 = covered[class] / n[class];
            assert!((coverage - 0.9).abs() < 0.015, "class {class}: {coverage}");
        }
    }

    #[test]
    fn the_rank_is_the_finite_sample_one_and_few_images_exclude_nothing() {
        let p = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
        let sets = ConformalSets::fit(&p, &[false; 9], 0.2);
        assert!((sets.normal_up_to - 0.8).abs() < 1e-12, "the 8th of 9");
        assert!(sets.pneumonia_from <= 0.0, "no pneumonia was seen");
        assert_eq!(sets.set(0.85), PredictionSet::Pneumonia);
        assert_eq!(sets.set(0.5), PredictionSet::Both);
        assert!((ConformalSets::fit(&p, &[false; 9], 0.05).normal_up_to - 1.0).abs() < 1e-12);
    }
}
