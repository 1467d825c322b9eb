//! Confident learning (Northcutt, Jiang and Chuang 2021): which labels contradict out-of-sample
//! probabilities, and how many. The probabilities must be of images that the classifier was not fitted to.

use serde::{Deserialize, Serialize};

/// An image whose label the probabilities contradict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspect {
    /// Index of the image.
    pub position: usize,
    /// Probability of the image's own label.
    pub self_confidence: f64,
}

/// Result of confident learning. Arrays are in the order negative, positive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfidentLearning {
    /// Mean probability of a class among the images labelled with it. From this probability on, an image
    /// counts as confidently of the class.
    pub thresholds: [f64; 2],
    /// The confident joint: numbers of images by label and by the class that they confidently belong to.
    /// Images that belong to no class confidently are not counted.
    pub confident_joint: [[usize; 2]; 2],
    /// Estimated shares of all images by label and by true class; they sum to 1.
    pub joint: [[f64; 2]; 2],
    /// Estimated share of wrong labels in each class.
    pub noise_rates: [f64; 2],
    /// Off-diagonal images of the confident joint, least confident first.
    pub suspects: Vec<Suspect>,
}

impl ConfidentLearning {
    /// Compares labels with out-of-sample probabilities of the positive class. `None` if a class is missing,
    /// the lengths differ or a probability is outside 0 to 1.
    pub fn of(probabilities: &[f64], positive: &[bool]) -> Option<Self> {
        let usable = probabilities.len() == positive.len()
            && probabilities.iter().all(|probability| (0.0..=1.0).contains(probability));
        let n_labelled = |class: usize| positive.iter().filter(|label| usize::from(**label) == class).count();
        let n = [n_labelled(0), n_labelled(1)];
        if !usable || n.contains(&0) {
            return None;
        }
        let of_class = |probability: f64, class: usize| [1.0 - probability, probability][class];
        let labelled = || probabilities.iter().zip(positive.iter().map(|label| usize::from(*label)));
        let thresholds = [0, 1].map(|class| {
            let own = labelled().filter(|(_, label)| *label == class).map(|(p, _)| of_class(*p, class));
            own.sum::<f64>() / n[class] as f64
        });
        let mut confident_joint = [[0; 2]; 2];
        let mut suspects = Vec::new();
        for (position, (probability, label)) in labelled().enumerate() {
            let confident = |class: usize| of_class(*probability, class) >= thresholds[class];
            let class = match (confident(0), confident(1)) {
                (false, false) => continue,
                // Above both thresholds the more probable class counts.
                (true, true) => usize::from(*probability > 0.5),
                (_, positive) => usize::from(positive),
            };
            confident_joint[label][class] += 1;
            if class != label {
                suspects.push(Suspect { position, self_confidence: of_class(*probability, label) });
            }
        }
        suspects.sort_by(|a, b| {
            a.self_confidence.total_cmp(&b.self_confidence).then(a.position.cmp(&b.position))
        });
        let noise_rates = [0, 1].map(|label| {
            let row: usize = confident_joint[label].iter().sum();
            confident_joint[label][1 - label] as f64 / row.max(1) as f64
        });
        // Rows are scaled to the number of images with that label, and the sum to one.
        let joint = [0, 1].map(|label| {
            let share = n[label] as f64 / positive.len() as f64;
            [0, 1].map(|class| {
                let rate = noise_rates[label];
                share * if class == label { 1.0 - rate } else { rate }
            })
        });
        Some(Self { thresholds, confident_joint, joint, noise_rates, suspects })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_worked_example() {
        let probabilities = [0.1, 0.2, 0.9, 0.3, 0.8, 0.9, 0.7, 0.1];
        let positive = [false, false, false, false, true, true, true, true];
        let found = ConfidentLearning::of(&probabilities, &positive).unwrap();
        // Negative: (0.9 + 0.8 + 0.1 + 0.7) / 4; positive: (0.8 + 0.9 + 0.7 + 0.1) / 4.
        assert!((found.thresholds[0] - 0.625).abs() < 1e-12 && (found.thresholds[1] - 0.625).abs() < 1e-12);
        assert_eq!(found.confident_joint, [[3, 1], [1, 3]]);
        assert_eq!(found.noise_rates, [0.25, 0.25]);
        assert_eq!(found.joint, [[0.375, 0.125], [0.125, 0.375]]);
        let positions: Vec<usize> = found.suspects.iter().map(|suspect| suspect.position).collect();
        assert_eq!(positions, [2, 7], "equally doubtful ones in their order");
    }

    #[test]
    fn injected_noise_is_estimated_and_found() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let (mut probabilities, mut positive, mut flipped) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..4000 {
            let truth = i % 2 == 0;
            // The sum of twelve uniforms is close to normal. The classes are five deviations apart, so that
            // almost no image is on the wrong side by itself.
            let noise: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
            let score = noise + if truth { 2.5 } else { -2.5 };
            let flips = rng.random_bool(if truth { 0.05 } else { 0.1 });
            probabilities.push(1.0 / (1.0 + (-2.5 * score).exp()));
            positive.push(truth != flips);
            flipped.push(flips);
        }
        let found = ConfidentLearning::of(&probabilities, &positive).unwrap();
        let n_flipped = |label: bool| {
            positive.iter().zip(&flipped).filter(|(y, flips)| **y == label && **flips).count() as f64
        };
        for (label, estimated) in [(false, found.noise_rates[0]), (true, found.noise_rates[1])] {
            let n = positive.iter().filter(|y| **y == label).count() as f64;
            let expected = n_flipped(label) / n;
            assert!((estimated - expected).abs() < 0.03, "{label}: {estimated} of {expected}");
        }
        let hits = found.suspects.iter().filter(|suspect| flipped[suspect.position]).count();
        assert!(hits as f64 > 0.6 * found.suspects.len() as f64 && hits as f64 > 0.7 * 300.0, "{hits}");
    }

    #[test]
    fn what_cannot_be_judged_has_no_answer() {
        assert_eq!(ConfidentLearning::of(&[0.5], &[true]), None);
        assert_eq!(ConfidentLearning::of(&[0.5, f64::NAN], &[true, false]), None);
        assert_eq!(ConfidentLearning::of(&[0.5], &[true, false]), None);
    }
}
